"""A reproduction as Markdown, JSON and plots: published figures above those of this run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from reidbench.files import write_pages
from reidbench.records.parts.common import Interval
from reidbench.records.schema import VerificationMetrics
from reidbench.report.figures.formats import figure, number, unbounded
from reidbench.report.figures.paired.matching import key_of
from reidbench.report.pictures import roc
from reidbench.report.pictures.attention import draw_attention
from reidbench.report.pictures.plots import COLOURS
from reidbench.report.text import strata
from reidbench.report.text.markup.markdown import Markdown, markdown_table
from reidbench.settings import Settings
from reidbench.studies.paper.study import Cell
from reidbench.studies.paper.tables import Reproduction, TableLine

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

NOT_STATED = "not stated"
# By default plotly.js shows a button that uploads the plot.
PLOTLY = {"showSendToCloud": False}


def markdown(made: Reproduction, settings: Settings) -> str:
    """The whole as Markdown: the data of this run, the rows, notes."""
    seen = [f"- {line}" for line in made.seen]
    text = [
        f"# {made.plan.title}",
        "",
        setting(settings),
        "",
        "Data of this run:",
        "",
        *seen,
        "",
        *_table(made),
    ]
    cells = [cell for line in made.lines if line.here for cell in line.here.values()]
    if why := unbounded(cell for cell in cells if isinstance(cell, Interval)):
        text += ["", why]
    if made.notes:
        text += ["", "Notes:", "", *(f"- {note}" for note in made.notes)]
    return "\n".join(text) + "\n"


def setting(settings: Settings) -> str:
    """The recipe in a few sentences, so that a quick run is not mistaken for the recipe of the 2022 paper.

    The bundle that attackers start from, too: it may have been trained on more than this copy of the data.
    """
    changed = ", ".join(f"{name}={value}" for name, value in settings.overrides.items())
    sets = f", {changed}" if changed else ""
    theirs = "" if settings.preset == "paper" else " This is not the paper's recipe; the preset `paper` is."
    start = ""
    if settings.bundle is not None:
        start = f"Attackers start from the bundle `{settings.bundle.card.name}` ({settings.bundle.digest[:12]}). "
    return (
        f"Preset `{settings.preset}`, images of {settings.size}², seed {settings.seed}{sets}. {start}"
        f"Intervals: 95 %, {settings.bootstrap_runs:,} bootstrap runs.{theirs}"
    )


def as_data(made: Reproduction, settings: Settings) -> dict[str, Any]:
    """The same as JSON types; unstated and undefined values are null."""
    return {
        "what": made.what,
        "title": made.plan.title,
        "preset": settings.preset,
        "size": settings.size,
        "bundle": settings.bundle and {"name": settings.bundle.card.name, "sha256": settings.bundle.digest},
        "seed": settings.seed,
        "overrides": dict(settings.overrides),
        "bootstrap_runs": settings.bootstrap_runs,
        "seen": list(made.seen),
        "notes": list(made.notes),
        "rows": [_row(line, made) for line in made.lines],
    }


def figures(made: Reproduction) -> dict[str, Figure]:
    """The plots of a figure by the stem of their file; none for a table."""
    if made.attack is None or made.scores is None or not isinstance(made.attack.metrics, VerificationMetrics):
        return {}
    found = made.attack.metrics
    if made.what == "fig2":
        drawn = roc.curve(made.scores, key_of(made.attack))
        return {"fig2": roc.plot({"this run": drawn})} if drawn else {}
    if made.what == "fig3":
        known = {"threshold 0.5": found.at_half, "1 % false positives on validation": found.calibrated}
        return {"fig3": roc.plot_confusion({name: decision for name, decision in known.items() if decision})}
    plot = strata.plot(made.attack, "at_half" if found.at_half else "calibrated")
    _mark_published(made, plot)
    return {"fig4": plot}


def write(made: Reproduction, settings: Settings, folder: Path) -> list[Path]:
    """Writes the Markdown, the plots (HTML that needs no network) and maps (PNG), each whole or not at all."""
    pages = {f"{made.what}.md": markdown(made, settings)}
    for stem, plot in figures(made).items():
        pages[f"{stem}.html"] = plot.to_html(config=PLOTLY, include_plotlyjs=True, full_html=True)
    paths = write_pages(pages, folder)
    if made.maps:
        paths.append(folder / f"{made.what}.png")
        draw_attention(made.maps, paths[-1])
    return paths


def _mark_published(made: Reproduction, plot: Figure) -> None:
    """Adds the published rates by age gap to the first panel, which shows age gaps."""
    from plotly.graph_objects import Scatter

    stated = {line.label.removeprefix("age gap: "): line.published for line in made.lines if line.published}
    if stated and plot.data and "0" in plot.data[0].x:
        rates = [float(published["at_half"]) for published in stated.values()]
        marker = {"symbol": "diamond-open", "size": 11, "color": COLOURS[1]}
        plot.add_trace(
            Scatter(x=list(stated), y=rates, mode="markers", name="published", marker=marker, showlegend=True),
            row=1,
            col=1,
        )


def _table(made: Reproduction) -> list[str]:
    columns, beside = made.plan.columns, made.plan.beside
    rows: list[list[str]] = []
    for line in made.lines:
        label, own = line.label, "this run"
        if beside:
            own = Markdown(line.published.get(beside, NOT_STATED))
        elif line.published:
            # Figures as printed in the paper, such as >0.9999.
            stated = [Markdown(line.published.get(name, NOT_STATED)) for name in columns]
            rows.append([label, "published", *stated])
            label = ""
        if line.here is not None:
            rows.append([label, own, *(_text(line.here.get(name)) for name in columns)])
        elif line.note:
            rows.append([label, own, f"not measured: {line.note}", *[""] * (len(columns) - 1)])
    head = ["", "published" if beside else "", *columns.values()]
    return markdown_table(head, rows, right=len(columns))


def _row(line: TableLine, made: Reproduction) -> dict[str, Any]:
    here = None
    if line.here is not None:
        here = {name: _data(line.here.get(name)) for name in made.plan.columns}
    published = {name: line.published.get(name) for name in made.plan.columns}
    return {"label": line.label, "published": published, "here": here, "note": line.note or None}


def _data(cell: Cell) -> Any:
    return cell.model_dump() if isinstance(cell, Interval) else cell


def _text(cell: Cell) -> str:
    if isinstance(cell, Interval):
        return figure(cell)
    return f"{cell:,}" if isinstance(cell, int) else number(cell)
