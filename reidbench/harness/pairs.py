"""Which pairs of images a cohort's attackers are judged on, and calibrated on."""

from __future__ import annotations

import pandas as pd

from reidbench.cohorts.pairing.image_pairs import Pairs
from reidbench.cohorts.pairing.listed import read_pair_list
from reidbench.cohorts.pairing.pairs import build_pairs
from reidbench.errors import ReidbenchError
from reidbench.records.ladder import Built, Negatives
from reidbench.settings import Settings

# Pairs are the same for every defense, seed and preset on a cohort: only so can runs be compared pair by pair.
PAIR_SEED = 14
MAX_PAIRS = 100_000  # As in the 2022 paper.


def judged_pairs(test: pd.DataFrame, settings: Settings) -> tuple[dict[Negatives, Pairs], list[str]]:
    """The test pairs by kind of negatives, and what a person must know of them, a line each.

    Args:
        test: the test images' table.

    Raises:
        ReidbenchError: there are no pairs with random negatives, or the file of pairs does not fit the images.
    """
    if settings.pair_list is not None:
        listed = read_pair_list(settings.pair_list, test)
        return {"listed": listed}, list(listed.notes)
    found: dict[Negatives, Pairs] = {}
    notes: list[str] = []
    for negatives in settings.negatives:
        try:
            pairs = _build(test, negatives, settings)
        except ReidbenchError as error:
            # Without random negatives there is nothing to judge. Where sex, age and view are unknown none match,
            # and the run says so and goes on.
            if negatives == "random":
                raise
            notes.append(f"no {negatives} negatives: {error}")
            continue
        found[negatives] = pairs
        notes += [f"{negatives} negatives: {note}" for note in pairs.notes]
    return found, notes


def calibrating_pairs(validation: pd.DataFrame, settings: Settings) -> Pairs | None:
    """The validation pairs; None where no patient has two images: thresholds then stay uncalibrated.

    Args:
        validation: the validation images' table.
    """
    try:
        return _build(validation, "random", settings)
    except ReidbenchError:
        return None


def _build(frame: pd.DataFrame, negatives: Built, settings: Settings) -> Pairs:
    cap = settings.pairs_per_patient
    return build_pairs(frame, negatives=negatives, seed=PAIR_SEED, max_pairs=MAX_PAIRS, max_per_patient=cap)
