"""What carries identity, as the section of an audit: a table, its explanation, and JSON types."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from math import isfinite
from statistics import fmean
from typing import Any

from reidbench.records.parts.common import Interval
from reidbench.report.figures.formats import figure, number
from reidbench.report.text.markup.markdown import markdown_table
from reidbench.studies.bands import Bands, PartFigures

HEAD = (
    "part of the image",
    "share of the variance",
    "gain",
    "alone: AUC",
    "alone: mAP@R",
    "without it: AUC",
    "without it: mAP@R",
)
#: The file of the plot, beside the page.
PLOT = "bands.svg"


def bands_markdown(bands: Bands) -> list[str]:
    """The section: heading, what was done, the table, and what its columns are."""
    return [
        "## What carries identity?",
        "",
        bands_scope(bands),
        "",
        *markdown_table(HEAD, bands_rows(bands)),
        "",
        "\n\n".join(bands_notes(bands)),
        "",
        f"![mAP@R and AUC of each part alone and of all without it]({PLOT})",
    ]


def bands_rows(bands: Bands) -> list[list[str]]:
    """One row per part, the whole image first."""
    rows = [["the whole image", number(1.0), "1", *_pair(bands.whole), "", ""]]
    for part in bands.parts:
        variance = number(part.variance if isfinite(part.variance) else None)
        rows.append([part.name, variance, _gain(part.alone), *_pair(part.alone), *_pair(part.without)])
    return rows


def bands_scope(bands: Bands) -> str:
    """What was judged, and by what."""
    where = bands.judged[0] if len(bands.judged) == 1 else f"{len(bands.judged)} folds"
    return (
        f"{bands.images:,} images of {bands.patients:,} patients ({where}) were divided into octaves of spatial "
        "frequency (cycles per image width), and into border and centre. For each part alone, and for all without it, "
        f"the attacker {bands.attacker} was trained further on images so filtered, of {bands.trained:,} or more "
        "other patients, and searched among images filtered in the same way."
    )


def bands_notes(bands: Bands) -> list[str]:
    """What the columns are, and what must be known of the figures."""
    shares = {part.name: part.area for part in bands.parts if part.kind == "region"}
    areas = ", ".join(f"{name} {share:.2f}" for name, share in shares.items())
    coarsest = [part.without for part in bands.parts if part.kind == "band"][-1]
    notes = [
        "Bands share no frequency and add up to the image, as border and centre do "
        f"({areas} of the area). A part is published as 8 bits: gain times the part around mid-grey, the same gain "
        "for all images; what is left out of border and centre is mid-grey. All without a band has a gain of 1, "
        f"without the coarsest of {_gain(coarsest)}. Variance: of all pixels about their mean. Chance: AUC "
        f"0.500, mAP@R {number(bands.chance)}. Brackets: 95 %, bootstrap over patients.",
    ]
    if len(bands.judged) > 1:
        notes.append("AUC: mean over the folds (lowest–highest).")
    deaf = [name for name, found in _every(bands) if not found.learned]
    if deaf:
        notes.append(f"The attacker's loss never fell below that of guessing for: {', '.join(deaf)}.")
    short = [name for name, found in _every(bands) if found.improving]
    if short:
        notes.append(
            f"Training was still improving when it ended, so that more may be found (--set {bands.attacker}.longest=4) "
            f"in: {', '.join(short)}."
        )
    return notes


def bands_data(bands: Bands) -> dict[str, Any]:
    """The section as JSON types."""
    told = asdict(bands)
    # Undefined numbers are null.
    for kept, part in zip(told["parts"], bands.parts):
        kept["variance"] = part.variance if isfinite(part.variance) else None
    told["whole"] = _figures_data(bands.whole)
    for kept, part in zip(told["parts"], bands.parts):
        kept |= {"alone": _figures_data(part.alone), "without": _figures_data(part.without)}
    return told


def _figures_data(found: PartFigures) -> dict[str, Any]:
    return {
        "gains": list(found.gains),
        "auc": [one.model_dump(mode="json") for one in found.auc],
        "map_at_r": found.map_at_r.model_dump(mode="json"),
        "learned": found.learned,
        "improving": found.improving,
    }


def _every(bands: Bands) -> list[tuple[str, PartFigures]]:
    found = [("the whole image", bands.whole)]
    for part in bands.parts:
        found += [(part.name, part.alone), (f"all without {part.name}", part.without)]
    return found


def _gain(found: PartFigures) -> str:
    low, high = min(found.gains), max(found.gains)
    return f"{low:g}" if low == high else f"{low:g}–{high:g}"


def _pair(found: PartFigures) -> tuple[str, str]:
    return over_folds(found.auc), figure(found.map_at_r)


def over_folds(figures: Sequence[Interval]) -> str:
    """The figure of a single fold with its interval; for several folds the mean, lowest and highest."""
    known = [each.value for each in figures if each.value is not None]
    if len(figures) == 1:
        return figure(figures[0])
    return f"{fmean(known):.3f} ({min(known):.2f}–{max(known):.2f})" if known else "–"
