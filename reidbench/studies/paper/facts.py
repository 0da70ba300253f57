"""What Packhäuser et al. (Sci. Rep. 12, 2022) published, as printed there, to set a reproduction beside.

A figure that is missing here is not known to us as a number (most of their figures are plots), and is shown as "not
stated".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

#: The area is over random pairs, and so stands beside that over all pairs; exchanged pairs are another estimand.
VERIFICATION = ("auc_all_pairs", "accuracy", "specificity", "recall", "precision", "f1")
RETRIEVAL = ("map_at_r", "r_precision", "precision_at_1")

#: Names as their authors write them.
TITLES = {"chestxray14": "ChestX-ray14", "chexpert": "CheXpert", "covid19": "COVID-19 Image Data Collection"}
#: Images and patients of ChestX-ray14 by split, as the paper cuts them.
CHESTXRAY14: Mapping[str, tuple[int, int]] = {
    "train": (75_708, 24_154),
    "val": (10_816, 3_854),
    "test": (25_596, 2_797),
}
#: Pairs that verification was tested on, half of them genuine.
TEST_PAIRS = 100_000


class PublishedRow(NamedTuple):
    """A published row.

    Attributes:
        label: what it is of.
        figures: by the name of the figure, as printed.
    """

    label: str
    figures: Mapping[str, str]


def _figures(names: tuple[str, ...], *figures: str) -> Mapping[str, str]:
    return dict(zip(names, figures, strict=True))


def _row(label: str, *figures: str) -> PublishedRow:
    return PublishedRow(label, {**_figures(VERIFICATION, *figures), "pairs": f"{TEST_PAIRS:,}"})


#: Training pairs fixed throughout (FTS) or impostors drawn anew every epoch (RNP), with their number and learning rate.
TABLE_1 = (
    _row("FTS, 100,000 pairs, 1e-3", "0.8610", "0.7782", "0.7710", "0.7853", "0.7742", "0.7797"),
    _row("FTS, 200,000 pairs, 1e-3", "0.9448", "0.8743", "0.8685", "0.8800", "0.8700", "0.8750"),
    _row("FTS, 400,000 pairs, 1e-4", "0.9587", "0.8755", "0.9290", "0.8219", "0.9205", "0.8684"),
    _row("FTS, 800,000 pairs, 1e-4", "0.9896", "0.9537", "0.9541", "0.9532", "0.9541", "0.9536"),
    _row("RNP, 800,000 pairs, 1e-4", "0.9940", "0.9555", "0.9822", "0.9287", "0.9812", "0.9542"),
)
BEST = TABLE_1[-1]

WITH, WITHOUT = "with foreign material", "without foreign material"
TABLE_2 = {
    WITH: {"auc_all_pairs": "0.9970"},
    WITHOUT: {"auc_all_pairs": "0.9972"},
    "chexpert": {"auc_all_pairs": "0.9870", "pairs": "16,486"},
    "covid19": {"auc_all_pairs": "0.9763", "pairs": "1,548"},
}

#: ChestX-ray14 by the width of the images in pixels, and the other datasets at their original size.
TABLE_3: Mapping[int | str, Mapping[str, str]] = {
    1024: _figures(RETRIEVAL, "0.9748", "0.9763", "0.9963"),
    800: _figures(RETRIEVAL, "0.9709", "0.9726", "0.9958"),
    512: _figures(RETRIEVAL, "0.9572", "0.9601", "0.9945"),
    224: _figures(RETRIEVAL, "0.7730", "0.7979", "0.9756"),
    "chexpert": {**_figures(RETRIEVAL, "0.8001", "0.8148", "0.9444"), "gallery": "6,454"},
    "covid19": {**_figures(RETRIEVAL, "0.8569", "0.8707", "0.8821"), "gallery": "781"},
}
TABLE_4 = {
    WITH: _figures(RETRIEVAL, "0.9925", "0.9925", ">0.9999"),
    WITHOUT: _figures(RETRIEVAL, ">0.9999", ">0.9999", ">0.9999"),
}

#: True positive rate by the whole years between two visits.
FIGURE_4_AGE_GAP = {"0": "0.97", "12+": "0.86"}


def title(name: str) -> str:
    """A dataset's name for a reader."""
    return TITLES.get(name, name)


def confusion(row: PublishedRow) -> dict[str, str]:
    """The counts that a row's recall and specificity stand for, with half of the test pairs of each kind."""
    half = TEST_PAIRS // 2
    accepted, refused = (round(half * float(row.figures[name])) for name in ("recall", "specificity"))
    counts = {
        "true_positives": accepted,
        "false_negatives": half - accepted,
        "false_positives": half - refused,
        "true_negatives": refused,
    }
    return {name: f"{count:,}" for name, count in counts.items()}
