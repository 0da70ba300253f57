"""What a defense takes from the strongest attack, each over all attacks, with the interval of that difference."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from reidbench import metrics
from reidbench.records.paired.rises import auc_rise, map_rise, same_images, same_pairs
from reidbench.records.paired.strongest import strongest_retrieval, strongest_verification
from reidbench.records.parts.common import Interval
from reidbench.records.parts.drops import Drop, Drops
from reidbench.records.schema import Attack, Record
from reidbench.records.scores import RunScores, attack_key


def judge_drops(undefended: Record, base: RunScores, record: Record, scores: RunScores) -> Drops | None:
    """The falls of the strongest attack's AUC and mAP@R, paired over patients.

    Args:
        undefended, base: the run that drops count from, with its scores.
        record, scores: the run with the defense.

    Returns:
        None where the two runs were not judged on the same images and pairs, or no fall is defined. Each figure is
        of its own impostor pairs where one of the strongest attacks is of random and the other of matched ones.
    """
    if not (same_images(base, scores) and same_pairs(base, scores)):
        return None
    found = {}
    for name, strongest in (("auc", strongest_verification), ("map_at_r", strongest_retrieval)):
        before, after = strongest(undefended.attacks), strongest(record.attacks)
        if before is None or after is None:
            continue
        old, new = key_of(before), key_of(after)
        how: dict[str, Any] = {"runs": record.bootstrap_runs, "guarded": record.definitions >= 3}
        if before.negatives is None or after.negatives is None:
            rise = map_rise(base, old, scores, new, **how)
        else:
            negatives = before.negatives, after.negatives
            rise = auc_rise(base, old, scores, new, negatives, **how)
        found[name] = Drop(before=old, after=new, fall=Interval.of(fall_of(rise)))
    return Drops(auc=found.get("auc"), map_at_r=found.get("map_at_r")) if found else None


def fall_of(rise: metrics.Interval) -> metrics.Interval:
    """A rise as a fall."""
    # Not -high: a drop of zero is 0, not minus 0.
    return metrics.Interval(0 - rise.value, 0 - rise.high, 0 - rise.low, why_unbounded=rise.why_unbounded)


def key_of(attack: Attack) -> str:
    """The key of a record's own attack in its scores."""
    return attack_key(attack.attacker, attack.knowledge, attack.linkage, attack.negatives)


def tell_drops(
    record: Record, scores: RunScores, undefended: Record, base: RunScores
) -> Iterator[tuple[tuple[str, ...], object, object]]:
    """What the scores of both runs say of a record's drops: a path, what the record says, and what follows."""
    if record.drops is None:
        return
    found = judge_drops(undefended, base, record, scores) or Drops()
    for name in Drops.model_fields:
        said, told = getattr(record.drops, name), getattr(found, name)
        if said is None or told is None:
            yield ("drops", name), said, told
            continue
        for part in ("before", "after"):
            yield ("drops", name, part), getattr(said, part), getattr(told, part)
        for end in ("value", "low", "high", "why_unbounded"):
            yield ("drops", name, "fall", end), getattr(said.fall, end), getattr(told.fall, end)
