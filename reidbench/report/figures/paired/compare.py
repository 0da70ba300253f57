"""The regression gate: is a defense weaker than it was, by more than chance explains?

An attack's figure regresses where it rises by more than the tolerance *and* the interval of the rise lies above zero.
The tolerance is the smallest change that matters; the interval excludes changes that the choice of test patients
explains. A rise past the tolerance whose interval contains zero is *unclear*: it is reported, and fails only a strict
gate. The gate judges worst cases, because a defense is as good as its worst case over the ladder. The largest rise of a
single rung is shown beside them, and judged on request, with an interval that holds for all rungs at once (Bonferroni).

Intervals are paired where both records have their scores: each resampling of patients gives the old and the new scores
of a pair, or the old and the new predictions of an image, the same weight, so that variation common to both cancels.
Otherwise they are computed from the records' own intervals as if the runs were independent (Zou and Donner 2008, square
and add), which is wider. Over several seeds, rises are averaged. The patients' share of the interval is averaged too,
since the patients are the same, and the spread of the rises over seeds is added in quadrature (Student's t): it is the
noise of training, which a single seed cannot show.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from statistics import fmean
from typing import Literal

from reidbench import metrics
from reidbench.errors import ReidbenchError
from reidbench.records.paired.rises import LEVEL
from reidbench.records.paired.strongest import headline
from reidbench.records.schema import Attack
from reidbench.records.supplements.content import source_of
from reidbench.report.figures.machines import THERE, apart, apart_text
from reidbench.report.figures.paired.change import RUNS, UNFIT, Paired, over_seeds
from reidbench.report.figures.paired.matching import Match, match
from reidbench.report.figures.summary import short_rung, worst_verification

# The classifiers that the gate judges, both on the release.
TRAINED_ON = ("originals", "release")

Verdict = Literal["regression", "unclear", "ok"]


@dataclass(frozen=True)
class Tolerances:
    """The largest change for the worse that is accepted, in units of the figure (all lie in [0, 1])."""

    auc_rise: float = 0.02
    map_rise: float = 0.02
    utility_drop: float = 0.02


@dataclass(frozen=True)
class Change:
    """The change of one figure, positive for the worse: the rise of an attack, or the fall of the diagnostic utility.

    Attributes:
        figure: its name.
        base, new: its value before and after, averaged over seeds.
        where: the attack with this value, before and after; empty for utility.
        worse: the change for the worse; negative where the defense got better.
        low, high: the interval of the change, NaN where there is none.
        paired: whether the interval comes from the scores of the same pairs and probes, or the predictions of the same
            images.
        tolerance: the largest change for the worse that is accepted.
        judged: whether the gate takes it into account.
    """

    figure: str
    base: float
    new: float
    where: tuple[str, str]
    worse: float
    low: float
    high: float
    paired: bool
    tolerance: float
    judged: bool = True

    @property
    def verdict(self) -> Verdict:
        """``regression`` past the tolerance and beyond chance, ``unclear`` past the tolerance only, else ``ok``."""
        if not self.worse > self.tolerance:
            return "ok"
        return "regression" if self.low > 0 else "unclear"


@dataclass(frozen=True)
class Comparison:
    """One defense before and after.

    Attributes:
        label: the defense and its options.
        match: the runs.
        changes: worst cases and utility, all judged, then the largest rise of one rung of each task.
        notes: what a reader has to know, one line each.
    """

    label: str
    match: Match
    changes: tuple[Change, ...]
    notes: tuple[str, ...]

    @property
    def verdict(self) -> Verdict:
        """The worst verdict among the judged changes."""
        found = {change.verdict for change in self.changes if change.judged}
        return "regression" if "regression" in found else "unclear" if "unclear" in found else "ok"


def compare(
    base: Path, new: Path, tolerances: Tolerances | None = None, *, every_rung: bool = False, runs: int = RUNS
) -> list[Comparison]:
    """Compares the records of two places, defense by defense.

    Args:
        base, new: record files, or folders of records.
        tolerances: the largest changes for the worse that are accepted.
        every_rung: judge the largest rise of a single rung too, not the worst cases alone.
        runs: bootstrap runs per interval.

    Raises:
        ReidbenchError: the records cannot be compared.
    """
    limits = tolerances or Tolerances()
    return [_compare(found, limits, every_rung, runs) for found in match(base, new)]


def _compare(found: Match, limits: Tolerances, every_rung: bool, runs: int) -> Comparison:
    seeds = [Paired(base, new, runs) for base, new in found.seeds]
    _require_what_base_has(seeds)
    changes: list[Change] = []
    rungs: list[Change] = []
    for name, chooses, tolerance in (
        ("AUC", lambda attack: attack.negatives == "random", limits.auc_rise),
        ("AUC, matched", lambda attack: attack.negatives == "matched", limits.auc_rise),
        ("mAP@R", lambda attack: attack.task == "retrieval", limits.map_rise),
    ):
        track = _Track(name, chooses, tolerance, seeds)
        if track.keys:
            changes.append(track.worst_case())
            rungs.append(track.largest_rise(every_rung))
    changes += _utilities(seeds, limits.utility_drop)
    if not changes:
        raise ReidbenchError(f"{found.label}: no figure is defined in both runs")
    return Comparison(found.label, found, (*changes, *rungs), tuple(_notes(found, seeds)))


@dataclass(frozen=True)
class _Track:
    """Attacks with comparable figures: one task and one kind of negatives."""

    name: str
    chooses: Callable[[Attack], bool]
    tolerance: float
    seeds: Sequence[Paired]

    @cached_property
    def keys(self) -> list[str]:
        """The attacks with a figure in every run."""
        return [
            key
            for key, attack in self.seeds[0].base.items()
            if self.chooses(attack)
            and all(key in side and headline(side[key]).value is not None for side in _sides(self.seeds))
        ]

    def worst_case(self) -> Change:
        """The highest figure before against the highest after, each over all attacks of the track."""
        tops = [tuple(max(self.keys, key=lambda k: _value(side[k])) for side in (s.base, s.new)) for s in self.seeds]
        return self._change(f"{self.name}, strongest attack", tops, LEVEL)

    def largest_rise(self, judged: bool) -> Change:
        """The rung with the largest rise; if judged, the largest rise that is a regression, where there is one."""
        level = 1 - (1 - LEVEL) / len(self.keys)
        ordered = sorted(self.keys, key=self._rise, reverse=True)
        tried = list(takewhile(lambda key: self._rise(key) > self.tolerance, ordered)) if judged else []
        largest = None
        for key in tried or ordered[:1]:
            change = self._change(f"{self.name}, one rung", [(key, key)] * len(self.seeds), level)
            if largest is None or change.verdict == "regression":
                largest = change
            if largest.verdict == "regression":
                break
        assert largest is not None
        return replace(largest, judged=judged)

    def _rise(self, key: str) -> float:
        return fmean(_value(seed.new[key]) - _value(seed.base[key]) for seed in self.seeds)

    def _change(self, figure: str, keys: Sequence[tuple[str, ...]], level: float) -> Change:
        rises = [_rise(seed, before, after, level) for seed, (before, after) in zip(self.seeds, keys)]
        old = [seed.base[before] for seed, (before, _) in zip(self.seeds, keys)]
        new = [seed.new[after] for seed, (_, after) in zip(self.seeds, keys)]
        found = over_seeds(rises, level)
        return Change(
            figure,
            fmean(map(_value, old)),
            fmean(map(_value, new)),
            (short_rung(max(old, key=_value)), short_rung(max(new, key=_value))),
            found.value,
            found.low,
            found.high,
            all(seed.scores_of(*attacks) is not None for seed, *attacks in zip(self.seeds, old, new)),
            self.tolerance,
        )


def _rise(seed: Paired, before: str, after: str, level: float) -> metrics.Interval:
    try:
        return seed.rise(before, after, level)
    except UNFIT as error:
        where = " or ".join(str(path) for path in seed.paths)
        raise ReidbenchError(f"{where}: the scores beside it are not those of its figures ({error})") from error


def _require_what_base_has(seeds: Sequence[Paired]) -> None:
    """Refuses a new run without a figure that the base run has: its loss would look like privacy.

    Raises:
        ReidbenchError: naming the first.
    """
    for seed in seeds:
        path = seed.paths[1]
        for key, attack in seed.base.items():
            if source_of(attack) is not None or headline(attack).value is None or key not in seed.new:
                continue
            if headline(seed.new[key]).value is None:
                raise ReidbenchError(f"{path}: no figure of {short_rung(attack)}, which BASE has")
        for trained_on in TRAINED_ON:
            old, new = seed.utilities(trained_on)
            if old is not None and old.value is not None and (new is None or new.value is None):
                raise ReidbenchError(f"{path}: no utility, trained on {trained_on}, which BASE has")


def _sides(seeds: Sequence[Paired]) -> Iterable[Mapping[str, Attack]]:
    return (side for seed in seeds for side in (seed.base, seed.new))


def _utilities(seeds: Sequence[Paired], tolerance: float) -> Iterable[Change]:
    # The utility of a published model is that of its own predictions: there is one figure, not one per classifier.
    model = seeds[0].records[1].track == "model"
    for trained_on in TRAINED_ON[:1] if model else TRAINED_ON:
        pairs = [seed.utilities(trained_on) for seed in seeds]
        known = [(old, new) for old, new in pairs if old and new and None not in (old.value, new.value)]
        if len(known) < len(pairs):
            continue
        falls = over_seeds([seed.fall(trained_on, old, new) for seed, (old, new) in zip(seeds, known)], LEVEL)
        yield Change(
            f"utility, trained on {trained_on}",
            fmean(old.value or 0.0 for old, _ in known),
            fmean(new.value or 0.0 for _, new in known),
            ("", ""),
            falls.value,
            falls.low,
            falls.high,
            all(seed.predictions(trained_on) is not None for seed in seeds),
            tolerance,
        )


def _notes(found: Match, seeds: Sequence[Paired]) -> Iterable[str]:
    base, new = (kept.record for kept in found.seeds[0])
    if any(seed.scores is None for seed in seeds):
        yield (
            "Scores are missing or belong to other pairs: the intervals are computed as if the runs were independent. "
            "Keep *.scores.npz beside both records for the narrower intervals of a paired comparison."
        )
    elif any(any(seed.utilities(on)) and seed.predictions(on) is None for seed in seeds for on in TRAINED_ON):
        yield (
            "Predictions of the same findings do not lie beside both records (`run --keep-findings` keeps those of "
            "real patients): the interval of the utility is computed as if the runs were independent."
        )
    for side, other, seeds_left in zip(("BASE", "NEW"), ("NEW", "BASE"), found.left_out):
        if seeds_left:
            yield f"Left out, since {other} lacks them: seeds {', '.join(map(str, seeds_left))} of {side}."
    if len(found.seeds) == 1:
        yield "One seed: the intervals do not include the noise of training. Several seeds (--seeds) show it."
    if base.seed != new.seed:
        yield f"Seeds differ ({base.seed} and {new.seed}): their attackers were trained separately."
    if base.reidbench_version != new.reidbench_version:
        yield f"reidbench {base.reidbench_version} and {new.reidbench_version}: attackers may differ."
    if not base.complete:
        yield "The ladder is incomplete: the strongest attack is that of the rungs that were run."
    yield from _changed_baseline(found)
    supplied = {
        attack.attacker
        for side in _sides(seeds)
        for key, attack in side.items()
        if source_of(attack) is not None and not all(key in other for other in _sides(seeds))
    }
    if supplied:
        yield f"Left out, since not all of the runs have a supplement of them: {', '.join(sorted(supplied))}."
    lost = {
        f"{attack.attacker} {attack.knowledge} {attack.linkage}"
        for seed in seeds
        for key, attack in seed.new.items()
        if key in seed.base and seed.base[key].learned and not attack.learned
    }
    if lost:
        yield f"Attackers that learned on BASE and not on NEW, which may look like privacy: {', '.join(sorted(lost))}."


def _changed_baseline(found: Match) -> Iterable[str]:
    moves = [one for base, new in found.seeds if (one := apart(new.record, base.record)) is not None]
    for differences in dict.fromkeys(one.differences for one in moves):
        alike = [one for one in moves if one.differences == differences]
        yield f"NEW was computed {THERE} BASE: {apart_text(alike, 'in BASE')}."
    undefended = [(base.baseline(), new.baseline()) for base, new in found.seeds]
    worst = [tuple(worst_verification(side) if side else None for side in pair) for pair in undefended]
    moved = [(old.value, new.value) for old, new in worst if old and new and old.value != new.value]
    if moved:
        old, new = moved[0]
        yield f"The undefended runs differ too (AUC {old:.3f} and {new:.3f}): part of the change is the attackers'."


def _value(attack: Attack) -> float:
    value = headline(attack).value
    assert value is not None
    return value
