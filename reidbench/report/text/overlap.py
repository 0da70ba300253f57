"""Results of a search for shared patients as text, CSV, JSON and a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from reidbench.image_grid import GridRow, draw_grid, save_picture
from reidbench.report.figures.formats import number
from reidbench.report.text.markup.csv_text import frame_text
from reidbench.report.text.markup.markdown import markdown_table
from reidbench.report.text.markup.tables import plain_table, report_console
from reidbench.settings import Settings
from reidbench.studies.overlap import Overlap, Recovered

#: Largest q-values at which a summary counts candidates.
CUTS = (0.05, 0.1, 0.2)
PRINTED = 10
# The contact sheet: number of candidates, and of columns of image pairs.
SHOWN, COLUMNS = 12, 3
TILE, MARGIN, CAPTION = 160, 8, 28

MEANING = (
    "expected false: how many of all compared pairs would reach the score if each were of two different patients, "
    "counted on pairs within each dataset that are known to be. q: the share of false ones to be expected up to that "
    "rank. Neither is proof: look at the images."
)


def as_csv(found: Overlap) -> str:
    """The candidates as CSV, the best first."""
    return frame_text(found.table)


def as_data(found: Overlap, settings: Settings, known: Sequence[Recovered]) -> dict[str, Any]:
    """The summary as JSON types; the names of candidates are in the table only."""
    sides = {
        name: {
            "dataset": side.cohort.name,
            "revision": side.cohort.revision,
            "images": len(side.rows),
            "patients": len(side.images),
        }
        for name, side in (("a", found.a), ("b", found.b))
    }
    return {
        **sides,
        "command": settings.command,
        "preset": settings.preset,
        "seed": settings.seed,
        "attacker": found.attacker,
        "trained_on": found.trained_on,
        "learned": found.learned,
        "compared": found.compared,
        "impostors": found.impostors,
        "candidates": {f"{cut:g}": int((found.table["q_value"] <= cut).sum()) for cut in CUTS},
        "known_above": {f"{cut:g}": _known_above(found, cut) for cut in CUTS},
        "known": [{**vars(each), "precision": each.precision, "recall": each.recall} for each in known],
        "notes": notes(found),
    }


def _known_above(found: Overlap, q_value: float) -> int | None:
    """Number of known impostor pairs scored above the last candidate of a cut; None without candidates."""
    chosen = found.table.loc[found.table["q_value"] <= q_value, "known_above"]
    return int(chosen.iloc[-1]) if len(chosen) else None


def as_markdown(found: Overlap, settings: Settings, known: Sequence[Recovered]) -> str:
    """The summary as a page."""
    lines = [
        f"# Patients that {found.a.cohort.name} (A) and {found.b.cohort.name} (B) may share",
        "",
        *_joined(notes(found)),
        f"Preset {settings.preset} at {settings.size}², seed {settings.seed}, by `{settings.command}`.",
        "",
        *markdown_table(_cut_headings(known), _cuts(found, known)),
        "",
        MEANING,
        "",
        *markdown_table(list(_HEADINGS), _rows(found, PRINTED)),
    ]
    return "\n".join(lines) + "\n"


def print_overlap(found: Overlap, known: Sequence[Recovered], console: Console | None = None) -> None:
    """Prints the summary and the best candidates, at most 100 columns wide."""
    console = report_console(console)
    for line in notes(found):
        console.print(line, markup=False)
    for headings, rows in ((_cut_headings(known), _cuts(found, known)), (list(_HEADINGS), _rows(found, PRINTED))):
        table = plain_table()
        for heading in headings:
            table.add_column(heading, justify="left" if heading in ("A", "B") else "right", overflow="fold")
        for row in rows:
            table.add_row(*row)
        console.print(table)
    console.print(MEANING, markup=False)


def notes(found: Overlap) -> list[str]:
    """What was compared, and whether the result is invalid."""
    a, b = found.a, found.b
    lines = [
        f"Compared: {len(a.rows):,} images of {len(a.images):,} patients of {a.cohort.name} (A) with {len(b.rows):,} "
        f"images of {len(b.images):,} patients of {b.cohort.name} (B), {found.compared:,} patient pairs, by the "
        f"{found.attacker} attacker trained on {found.trained_on}. False positives were counted on "
        f"{found.impostors:,} pairs of two patients of one dataset."
    ]
    if not found.learned:
        lines.append("Invalid: the attacker did not learn; its training loss never left its starting value.")
    return lines


def draw_candidates(found: Overlap, path: Path) -> None:
    """Writes a PNG of the best candidates, the image of A beside that of B.

    Raises:
        ReidbenchError: the file cannot be written.
    """
    shown = min(SHOWN, len(found.rows))
    tiles, captions = [], []
    for candidate, rows in zip(found.table.head(shown).itertuples(), found.rows):
        above = (f"{candidate.rank}. score {candidate.score:.3g}, q {candidate.q_value:.2g}", "")
        for text, cohort, row in zip(above, (found.a.cohort, found.b.cohort), rows):
            tiles.append(cohort.pixels[row])
            captions.append(f"{text}\n{_short(str(cohort.frame['image_id'].iloc[row]))}")
    # Two tiles per candidate.
    beside = 2 * COLUMNS
    grid = [GridRow(tiles[i : i + beside], captions[i : i + beside]) for i in range(0, len(tiles), beside)]
    width = MARGIN + beside * (TILE + MARGIN)
    save_picture(draw_grid(grid, tile=TILE, margin=MARGIN, caption=CAPTION, width=width), path)


_HEADINGS = ("rank", "A", "B", "images", "score", "expected false", "q", "trained on")


def _rows(found: Overlap, most: int) -> list[list[str]]:
    return [
        [
            str(row.rank),
            str(row.patient_a),
            str(row.patient_b),
            f"{row.images_a} × {row.images_b}",
            f"{row.score:.3f}",
            f"{row.expected_false:.2g}",
            f"{row.q_value:.2g}",
            "yes" if row.trained_on else "no",
        ]
        for row in found.table.head(most).itertuples()
    ]


def _cut_headings(known: Sequence[Recovered]) -> list[str]:
    return ["q at most", "candidates", *(["precision", "recall", "of known"] if known else [])]


def _cuts(found: Overlap, known: Sequence[Recovered]) -> list[list[str]]:
    if known:
        return [
            [f"{k.q_value:g}", str(k.candidates), number(k.precision), number(k.recall), str(k.known)] for k in known
        ]
    return [[f"{cut:g}", str(int((found.table["q_value"] <= cut).sum()))] for cut in CUTS]


def _joined(lines: list[str]) -> list[str]:
    return [text for line in lines for text in (line, "")]


def _short(name: str) -> str:
    stem = Path(name).stem
    return stem if len(stem) <= 24 else f"{stem[:10]}~{stem[-13:]}"
