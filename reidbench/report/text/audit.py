"""An audit as text, CSV, JSON and Markdown."""

from __future__ import annotations

from statistics import fmean
from typing import Any

from rich.console import Console
from rich.text import Text

from reidbench.records.parts.common import Interval
from reidbench.report.figures.formats import figure, number, unbounded
from reidbench.report.figures.questions import HEAD, NOTE, Answer, answers
from reidbench.report.text.audit_bands import HEAD as BANDS_HEAD
from reidbench.report.text.audit_bands import (
    bands_data,
    bands_markdown,
    bands_notes,
    bands_rows,
    bands_scope,
    over_folds,
)
from reidbench.report.text.markup.csv_text import frame_text
from reidbench.report.text.markup.markdown import markdown_table
from reidbench.report.text.markup.tables import plain_table, report_console
from reidbench.studies.audit import Audit
from reidbench.studies.bands import Bands


def as_csv(audit: Audit) -> str:
    """The risk table as CSV, one row per patient; cells are empty where a figure is undefined."""
    return frame_text(audit.table)


def as_data(audit: Audit) -> dict[str, Any]:
    """The summary as JSON types; it names no patient."""
    first = audit.records[0]
    return {
        "notes": [*scope(audit), *problems(audit)],
        "judged": [record.dataset.model_dump(mode="json") for record in audit.records],
        "preset": first.preset,
        "overrides": first.overrides,
        "bundle": first.bundle.model_dump(mode="json") if first.bundle else None,
        "seed": first.seed,
        "command": first.command,
        "created": first.created.isoformat(),
        "reidbench_version": first.reidbench_version,
        "patients": len(audit.table),
        "patients_with_several_images": int(audit.table["ap_at_r"].notna().sum()),
        "strongest": audit.strongest,
        "attackers": {
            name: {
                "retrieval": ranked.model_dump(mode="json", by_alias=True),
                "verification": {
                    negatives: [judged.model_dump(mode="json", by_alias=True) for judged in folds]
                    for negatives, folds in audit.verification(name).items()
                },
            }
            for name, ranked in audit.retrieval.items()
        },
        "assessment": [
            {"question": answer.question, "figure": answer.name, "words": answer.words} for answer in _answers(audit)
        ],
        "singling_out": [
            [one.model_dump(mode="json") for one in record.singling_out or []] for record in audit.records
        ],
        "inference": [
            record.inference.model_dump(mode="json") if record.inference else None for record in audit.records
        ],
        "controls": [record.controls.model_dump(mode="json") for record in audit.records],
        "bands": bands_data(audit.bands) if audit.bands is not None else None,
    }


def as_markdown(audit: Audit) -> str:
    """The summary as Markdown; it names no patient."""
    first = audit.records[0]
    lines = [
        f"# Audit: {first.dataset.title}",
        "",
        "\n\n".join(scope(audit)),
        "",
        f"Preset {first.preset} at {first.dataset.size}², seed {first.seed}, by `{first.command}`.",
        "",
        *markdown_table(_columns(audit), _rows(audit)),
        "",
        "\n\n".join([*problems(audit), *_explained(audit)]),
        "",
        "## For an impact assessment",
        "",
        *markdown_table(HEAD, [answer.cells for answer in _answers(audit)]),
        "",
        NOTE,
        "",
        *([*bands_markdown(audit.bands), ""] if audit.bands is not None else []),
        "## Patient by patient",
        "",
        _victims(audit),
        "",
        *markdown_table(["quantile over patients", *(f"{q:g}" for q in _quantiles(audit))], _spread(audit)),
        "",
        "Ranks begin at 1. Low quantiles of a rank, and high ones of AP@R, are the patients most at risk.",
    ]
    return "\n".join(lines) + "\n"


def print_audit(audit: Audit, console: Console | None = None) -> None:
    """Prints the summary, at most 100 columns wide."""
    console = report_console(console)
    for line in scope(audit):
        console.print(line, markup=False)
    table = plain_table()
    for heading in _columns(audit):
        table.add_column(heading, justify="right" if heading else "left")
    for row in _rows(audit):
        # An interval goes below its figure: three attackers and the controls leave no room beside it.
        table.add_row(*(Text(cell.replace(" [", "\n[")) for cell in row))
    console.print(table)
    told = [f"{answer.question.capitalize()}: {answer.words}" for answer in _answers(audit)]
    for line in (*problems(audit), *_explained(audit), _victims(audit), *told):
        console.print(line, markup=False)
    if audit.bands is not None:
        _print_bands(audit.bands, console)


def _print_bands(bands: Bands, console: Console) -> None:
    console.print(bands_scope(bands), markup=False)
    table = plain_table()
    for heading in BANDS_HEAD:
        table.add_column(heading, justify="left" if heading == BANDS_HEAD[0] else "right")
    for row in bands_rows(bands):
        table.add_row(*(Text(cell.replace(" [", "\n[").replace(" (", "\n(")) for cell in row))
    console.print(table)
    for line in bands_notes(bands):
        console.print(line, markup=False)


def _answers(audit: Audit) -> list[Answer]:
    return answers(audit.records, list(audit.retrieval.values()))


def scope(audit: Audit) -> list[str]:
    """Which patients were evaluated, and what follows for the others."""
    first = audit.records[0]
    images = int(audit.table["images"].sum())
    judged = f"{images:,} images of {len(audit.table):,} patients of {first.dataset.title}"
    alone = int(audit.table["ap_at_r"].isna().sum())
    single = (
        f"{alone:,} of them have one image, which matches no other here; an attacker with another image of them may "
        "still find them."
    )
    if first.bundle is not None and not first.dataset.patients.get("train"):
        lines = [
            f"Judged: {judged}, all of them, by the attackers of the bundle {first.bundle.name} as they are. They were "
            f"trained on {first.bundle.trained_on} and learned nothing from this dataset; --folds also tries attackers "
            "that did."
        ]
    elif len(audit.records) == 1:
        others = sum(count for split, count in first.dataset.patients.items() if split != "test")
        lines = [
            f"Judged: {judged}, the test split only. The attackers learned on the other {others:,} patients, who have "
            "no figure here (--folds gives one to all)."
        ]
    else:
        lines = [
            f"Judged: {judged}, in {len(audit.records)} folds, each by attackers that learned on the others' patients. "
            "A patient is searched among the images of their own fold only, which is easier than among all."
        ]
    return [*lines, *([single] if alone else [])]


def problems(audit: Audit) -> list[str]:
    """Why the figures are invalid; empty if they are valid."""
    return [f"Invalid: {problem}." for record in audit.records for problem in record.controls.problems]


def _columns(audit: Audit) -> list[str]:
    return ["", *audit.retrieval, "raw pixels", "metadata alone", "chance"]


def _rows(audit: Audit) -> list[list[str]]:
    """One row per figure, one column per attacker, then the controls."""
    ranked = list(audit.retrieval.values())
    judged = [audit.verification(name) for name in audit.retrieval]
    controls = [record.controls for record in audit.records]
    chance = ranked[0].chance
    pixels_map = _mean([each.pixels_map_at_r for each in controls])
    rows = []
    for kind in judged[0]:
        rows.append(
            [
                f"AUC, {kind} impostors",
                *(over_folds([fold.auc for fold in each[kind]]) for each in judged),
                _mean([each.pixels_auc.get(kind) for each in controls]),
                _mean([each.metadata_only_auc.get(kind) for each in controls]),
                "0.500",
            ]
        )
    areas = [_all_pairs(audit, name) for name in audit.retrieval]
    if any(areas):
        rows.append(["AUC, all pairs", *(_mean(each) for each in areas), "", "", "0.500"])
    low = [over_folds(_low_rates(audit, name)) for name in audit.retrieval]
    return [
        *rows,
        ["TPR at 1 % FPR", *low, "", "", "0.010"],
        [
            "mAP@R, by patient",
            *(figure(each.map_at_r_patients) for each in ranked),
            "",
            "",
            number(chance.get("map_at_r_patients")),
        ],
        ["mAP@R, by image", *(figure(each.map_at_r) for each in ranked), pixels_map, "", number(chance["map_at_r"])],
        ["Precision@1", *(figure(each.precision_at_1) for each in ranked), "", "", number(chance["precision_at_1"])],
        ["found by every image*", *(figure(each.risk.found_by_every_image) for each in ranked), "", "", ""],
    ]


def _low_rates(audit: Audit, name: str) -> list[Interval]:
    """An attacker's true positive rates at 1 % false positives among the first kind of impostor pairs, one per fold."""
    return [fold.tpr_at_fpr_1 for fold in next(iter(audit.verification(name).values()))]


def _all_pairs(audit: Audit, name: str) -> list[float | None]:
    """An attacker's AUC over all pairs of images, one per fold; empty where no fold has it."""
    found = [fold.auc_all_pairs for fold in next(iter(audit.verification(name).values()))]
    return found if any(value is not None for value in found) else []


def _mean(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    return number(fmean(known) if known else None)


def _explained(audit: Audit) -> list[str]:
    lines = [
        "* Share of patients with several images whose every image has another of theirs at rank 1. Brackets: 95 %, "
        "bootstrap over patients."
    ]
    if len(audit.records) > 1:
        lines.append("AUC and TPR: mean over the folds (lowest–highest).")
    elif why := unbounded(rate for name in audit.retrieval for rate in _low_rates(audit, name)):
        lines.append(why)
    return lines


def _victims(audit: Audit) -> str:
    known = audit.table["ap_at_r"].notna()
    every = int((audit.table.loc[known, "found_by_every_image"] == 1).sum())
    first = int((audit.table.loc[known, "best_rank"] == 1).sum())
    return (
        f"{audit.strongest} finds {first:,} of {int(known.sum()):,} patients by at least one of their images, and "
        f"{every:,} by every one (patients.csv names them)."
    )


def _quantiles(audit: Audit) -> list[float]:
    return [float(q) for q in audit.retrieval[audit.strongest].risk.best_rank]


def _spread(audit: Audit) -> list[list[str]]:
    risk = audit.retrieval[audit.strongest].risk
    named = {"best rank": risk.best_rank, "mean rank": risk.mean_rank, "AP@R": risk.map_at_r}
    return [
        [name, *(f"{value:.3g}" if value is not None else "–" for value in row.values())] for name, row in named.items()
    ]
