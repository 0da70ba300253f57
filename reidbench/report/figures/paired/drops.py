"""The drop of a worst case against the undefended run, with its paired interval: the one that the record states.

Records from before drops were recorded, and attacks of supplements, have one where the scores of both runs lie beside
them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from math import isclose, isnan, nan
from typing import Literal

from reidbench import metrics
from reidbench.progress import Progress, Silent
from reidbench.records.paired.drops import fall_of
from reidbench.records.paired.rises import LEVEL
from reidbench.records.recompute import TOLERANCE
from reidbench.records.schema import Record
from reidbench.report.figures.paired.change import RUNS, UNFIT, Paired, as_metric
from reidbench.report.figures.paired.matching import Kept, key_of
from reidbench.report.figures.summary import Worst, drop, utility_fall, worst_retrieval, worst_verification

Find = Callable[[Record], Worst | None]
HEADLINES: tuple[Find, ...] = (worst_verification, worst_retrieval)
#: Where a record has the drop of a worst case.
RECORDED: Mapping[Find, Literal["auc", "map_at_r"]] = {worst_verification: "auc", worst_retrieval: "map_at_r"}

#: The fall of the retrained classifier's macro AUC, in place of a function that finds a worst case.
RETRAINED: Literal["retrained"] = "retrained"

#: Drops with their intervals, by a record's id and the function that finds its worst case, or :data:`RETRAINED`.
Drops = Mapping[tuple[str, Find | Literal["retrained"]], metrics.Interval]

UNPAIRED = (
    "A drop without brackets has no interval: the record has none, and the scores of both runs do not lie beside the "
    "records."
)

# What scores raise that are consistent in their shapes alone.


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
    progress = progress or Silent()
    told: dict[str, None] = {}
    with progress.task("drops", len(defended)) as advance:
        for one in defended:
            pair = Paired(one.counted_from(by_id[str(one.record.baseline_id)]), one, runs)
            kept_drops = {find: recorded_drop(*pair.records, find) for find in HEADLINES}
            # Scores of hundreds of runs are read only where an interval is not recorded.
            needed = one.record.supplied or any(drop is None for drop in kept_drops.values())
            for find, recorded in kept_drops.items():
                # Without scores there is no interval, whatever the worst cases are.
                made = recorded or (headline_drop(pair, find) if one.record.supplied or pair.scored else None)
                if made is not None and not isnan(made.low):
                    found[one.record.id, find] = made
            if (fallen := utility_drop(pair)) is not None:
                found[one.record.id, RETRAINED] = fallen
            if needed and pair.unreadable:
                told[f"{one.path}: its drops have no interval: {pair.unreadable}"] = None
            advance(1)
    for line in told:
        progress.say(line)
    return found


def utility_drop(pair: Paired) -> metrics.Interval | None:
    """The fall of the retrained classifier's macro AUC, paired; None where the record has it, or scores are missing.

    Args:
        pair: the undefended run and the defended one.
    """
    if utility_fall(pair.records[1], "release") is not None:
        return None
    old, new = pair.utilities("release")
    # As for the attacks: scores of another run are none of this one's.
    if old is None or new is None or pair.unreadable or pair.predictions("release") is None:
        return None
    try:
        return pair.fall("release", old, new)
    except UNFIT as error:
        pair.unreadable = f"its scores do not fit the record: {type(error).__name__}: {error}"
        return None


def headline_drop(pair: Paired, find: Find) -> metrics.Interval | None:
    """The fall of the worst case, each over all attacks, with the interval of that difference.

    Args:
        pair: the undefended run and the defended one.
        find: the function that finds the worst case.

    Returns:
        The drop; its interval is NaN where scores are missing. None if either worst case is undefined.
    """
    before, after = (find(record) for record in pair.records)
    fallen = drop(after, before)
    if before is None or after is None or fallen is None:
        return None
    if (recorded := recorded_drop(*pair.records, find)) is not None:
        return recorded
    if not _scored(pair, before, after):
        return metrics.Interval(fallen, nan, nan)
    try:
        rise = pair.rise(key_of(before.attack), key_of(after.attack), LEVEL)
    except UNFIT as error:
        # The files are those that the records name, and yet an attack is missing in one.
        pair.unreadable = f"its scores do not fit the record: {type(error).__name__}: {error}"
        return metrics.Interval(fallen, nan, nan)
    return replace(fall_of(rise), value=fallen)


def recorded_drop(undefended: Record, record: Record, find: Find) -> metrics.Interval | None:
    """The drop of a worst case as ``record`` states it; None where it has none of these two attacks.

    Attacks of a supplement may be stronger than those that the record knows of, and a fall that is not the difference
    of the two figures was edited. Drops of before definitions 3 have bare percentiles, and are bounded here where one
    of the figures is at an end.
    """
    drops, name = record.drops, RECORDED.get(find)
    stated = getattr(drops, name) if drops is not None and name is not None else None
    if stated is None or stated.fall.value is None:
        return None
    before, after = find(undefended), find(record)
    if before is None or after is None:
        return None
    same = (stated.before, stated.after) == (key_of(before.attack), key_of(after.attack))
    if not same or not isclose(stated.fall.value, before.value - after.value, abs_tol=TOLERANCE):
        return None
    fall = as_metric(stated.fall)
    if record.definitions >= 3:
        return fall
    less, of = (_at_an_end(worst) for worst in (after, before))
    return metrics.guarded_difference(fall, less=less, of=of)


def _at_an_end(worst: Worst) -> metrics.Interval:
    """A figure with its ends where they bound it at 0 or 1; those of a mAP@R do so if it lies there itself."""
    found = as_metric(worst.figure)
    kept = worst.attack.task == "verification" or found.value in (0, 1)
    return found if kept else metrics.Interval(found.value, nan, nan)


def _scored(pair: Paired, before: Worst, after: Worst) -> bool:
    # Where the file beside a record holds the scores of another run, they are treated as missing.
    return not pair.unreadable and pair.scores_of(before.attack, after.attack) is not None
