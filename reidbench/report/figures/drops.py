"""The drop of a worst case against the undefended run, with a paired interval where both have their scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import isnan, nan
from typing import Literal

from reidbench import metrics
from reidbench.errors import ReidbenchError
from reidbench.progress import Progress, Silent
from reidbench.records.schema import Record
from reidbench.report.figures.matching import Kept, key_of
from reidbench.report.figures.paired import LEVEL, RUNS, Paired
from reidbench.report.figures.summary import Worst, drop, utility_fall, worst_retrieval, worst_verification

Find = Callable[[Record], Worst | None]
HEADLINES: tuple[Find, ...] = (worst_verification, worst_retrieval)

#: The fall of the retrained classifier's macro AUC, in place of a function that finds a worst case.
RETRAINED: Literal["retrained"] = "retrained"

#: Drops with their intervals, by a record's id and the function that finds its worst case, or :data:`RETRAINED`.
Drops = Mapping[tuple[str, Find | Literal["retrained"]], metrics.Interval]

UNPAIRED = (
    "A drop without brackets has no interval: the scores of both runs do not lie beside the records, or the worst "
    "cases are of different pairs."
)


def paired_drops(kept: Iterable[Kept], progress: Progress | None = None, *, runs: int = RUNS) -> Drops:
    """Every drop that can be paired.

    Args:
        kept: records with their paths, including the undefended runs.
        progress: shows a bar: thousands of resamplings of every pair take a while.
        runs: bootstrap runs per interval.
    """
    by_id = {one.record.id: one for one in kept}
    defended = [one for one in by_id.values() if one.record.defense.kind != "none" and one.record.baseline_id in by_id]
    found: dict[tuple[str, Find | Literal["retrained"]], metrics.Interval] = {}
    with (progress or Silent()).task("drops", len(defended)) as advance:
        for one in defended:
            pair = Paired(by_id[str(one.record.baseline_id)], one, runs)
            for find in HEADLINES:
                made = headline_drop(pair, find)
                if made is not None and not isnan(made.low):
                    found[one.record.id, find] = made
            if (fallen := utility_drop(pair)) is not None:
                found[one.record.id, RETRAINED] = fallen
            advance(1)
    return found


def utility_drop(pair: Paired) -> metrics.Interval | None:
    """The fall of the retrained classifier's macro AUC, paired; None where the record has it, or scores are missing.

    Args:
        pair: the undefended run and the defended one.
    """
    if utility_fall(pair.records[1], "release") is not None:
        return None
    old, new = pair.utilities("release")
    try:
        if old is None or new is None or pair.predictions("release") is None:
            return None
    except ReidbenchError:
        # As for the attacks: scores of another run are none of this one's.
        return None
    return pair.fall("release", old, new)


def headline_drop(pair: Paired, find: Find) -> metrics.Interval | None:
    """The fall of the worst case, each over all attacks, with the interval of that difference.

    Args:
        pair: the undefended run and the defended one.
        find: the function that finds the worst case.

    Returns:
        The drop; its interval is NaN where scores are missing, or the worst cases are of different pairs and cannot be
        paired. None if either worst case is undefined.
    """
    before, after = (find(record) for record in pair.records)
    fallen = drop(after, before)
    if before is None or after is None or fallen is None:
        return None
    if before.attack.negatives != after.attack.negatives or not _scored(pair):
        return metrics.Interval(fallen, nan, nan)
    rise = pair.rise(key_of(before.attack), key_of(after.attack), LEVEL)
    # Not -high: a drop of zero is 0, not minus 0.
    return metrics.Interval(fallen, 0 - rise.high, 0 - rise.low)


def _scored(pair: Paired) -> bool:
    try:
        return pair.scores is not None
    except ReidbenchError:
        # The file beside a record holds the scores of another run: they are treated as missing.
        return False
