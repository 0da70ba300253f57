"""Two runs on the same pairs: the change of a figure, with an interval in which common variation cancels.

Each resampling of patients weighs the scores of both runs, on the same pairs and the same probes, or the predictions on
the same images. Where scores are missing or belong to other pairs, the interval is computed from those of both records
as if the runs were independent (Zou and Donner 2008, square and add), which is wider.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from math import hypot, isclose, nan, sqrt
from statistics import fmean, stdev

import numpy as np

from reidbench import metrics
from reidbench.errors import ReidbenchError
from reidbench.records.figures import BOOTSTRAP_SEED
from reidbench.records.paired.rises import LEVEL, auc_rise, map_rise, same_images, same_pairs
from reidbench.records.paired.strongest import headline
from reidbench.records.parts.common import Interval
from reidbench.records.schema import Attack
from reidbench.records.scores import RunScores, classifier_key
from reidbench.records.supplements.content import source_of
from reidbench.report.figures.paired.matching import Kept, key_of, scores_key
from reidbench.report.figures.summary import diagnosed, utility

RUNS = 2000
#: Figures of records have eight digits, and scores the precision of floats.
TOLERANCE = 1e-5
#: What reading figures off scores that do not fit their record comes to.
UNFIT = (ValueError, IndexError, KeyError, TypeError, MemoryError)


class Paired:
    """Two runs, with their scores where they pair.

    Args:
        base, new: the runs before and after, or without a defense and with it.
        runs: bootstrap runs per interval.
    """

    def __init__(self, base: Kept, new: Kept, runs: int = RUNS) -> None:
        self.runs = runs
        self._kept = (base, new)
        self.records = (base.record, new.record)
        self.paths = (base.path, new.path)

    @cached_property
    def base(self) -> dict[str, Attack]:
        """The attacks of the base run by key."""
        return {key_of(attack): attack for attack in self.records[0].every_attack}

    @cached_property
    def new(self) -> dict[str, Attack]:
        """The attacks of the new run by key."""
        return {key_of(attack): attack for attack in self.records[1].every_attack}

    @cached_property
    def _read(self) -> tuple[RunScores, RunScores] | None:
        """The files of scores of both runs, if they are of the same images."""
        one, other = (kept.scores() for kept in self._kept)
        if one is None or other is None or not same_images(one, other):
            return None
        return one, other

    @cached_property
    def unreadable(self) -> str:
        """Why the scores beside one of the records cannot be read; empty if they can, or if there are none."""
        try:
            _ = self._read
        except ReidbenchError as error:
            return str(error)
        return ""

    @cached_property
    def scores(self) -> tuple[RunScores, RunScores] | None:
        """The same, if the pairs are equal too."""
        if self._read is None:
            return None
        return self._read if same_pairs(*self._read) else None

    @property
    def scored(self) -> bool:
        """Whether the scores of both runs lie beside them and pair."""
        return not self.unreadable and self.scores is not None

    def scores_of(self, old: Attack, new: Attack) -> tuple[RunScores, RunScores] | None:
        """The scores of an attack before and of one after, if they are of the same images and pairs.

        Those of a supplement lie in a file of their own; what is wrong with it, :attr:`unreadable` says.
        """
        if source_of(old) is None and source_of(new) is None:
            return self.scores
        try:
            one, other = (kept.scores_of(attack) for kept, attack in zip(self._kept, (old, new)))
        except ReidbenchError as error:
            self.unreadable = str(error)
            return None
        if one is None or other is None or not same_images(one, other):
            return None
        return (one, other) if same_pairs(one, other) else None

    def rise(self, before: str, after: str, level: float) -> metrics.Interval:
        """The figure of attack ``after`` of the new run less that of ``before`` of the base run, with its interval.

        Raises:
            ValueError: scores give another difference than the records do.
            IndexError, KeyError, TypeError: they do not fit together.
        """
        old, new = self.base[before], self.new[after]
        found = self.scores_of(old, new)
        if found is None:
            return independent(headline(new), headline(old))
        base, other = found
        before, after = scores_key(old), scores_key(new)
        if old.negatives is None or new.negatives is None:
            rise = map_rise(base, before, other, after, runs=self.runs, level=level)
        else:
            negatives = old.negatives, new.negatives
            rise = auc_rise(base, before, other, after, negatives, runs=self.runs, level=level)
        stated = (headline(new).value or 0.0) - (headline(old).value or 0.0)
        if not isclose(rise.value, stated, abs_tol=TOLERANCE):
            raise ValueError(f"{after} changes by {rise.value:.5f} by the scores, and by {stated:.5f} by the records")
        return rise

    def utilities(self, trained_on: str) -> tuple[Interval | None, Interval | None]:
        """The diagnostic utility before and after, None where it was not measured."""
        base, new = (utility(kept.record, trained_on) for kept in self._kept)
        return base, new

    def predictions(self, trained_on: str) -> tuple[RunScores, RunScores] | None:
        """Both runs' kept predictions of that classifier on the release, if they are of the same findings."""
        key = self._classifier(trained_on)
        if self._read is None or not all(key in side.predictions for side in self._read):
            return None
        one, other = self._read
        same = one.labels == other.labels and np.array_equal(one.findings, other.findings)
        return (one, other) if same else None

    def _classifier(self, trained_on: str) -> str:
        return classifier_key(*diagnosed(self.records[1], trained_on))

    def fall(self, trained_on: str, old: Interval, new: Interval) -> metrics.Interval:
        """The fall of the utility, with its interval."""
        kept = self.predictions(trained_on)
        if kept is None:
            return independent(old, new)
        base, other = kept
        key = self._classifier(trained_on)
        return metrics.bootstrap_macro_auc_drop_patients(
            base.predictions[key],
            other.predictions[key],
            base.truth,
            base.patients,
            runs=self.runs,
            seed=BOOTSTRAP_SEED,
            level=LEVEL,
        )


def over_seeds(changes: Sequence[metrics.Interval], level: float) -> metrics.Interval:
    """The mean change over seeds: patient intervals are averaged, the spread over seeds is added in quadrature."""
    value, low, high = (fmean(getattr(change, end) for change in changes) for end in ("value", "low", "high"))
    count = len(changes)
    if count > 1:
        from scipy.special import stdtrit  # One seed needs no quantile.

        spread = stdev(change.value for change in changes) / sqrt(count)
        spread *= float(stdtrit(count - 1, (1 + level) / 2))
        low, high = value - hypot(value - low, spread), value + hypot(high - value, spread)
    return metrics.Interval(value, low, high)


def independent(new: Interval, old: Interval) -> metrics.Interval:
    """New less old, with an interval from both intervals as if the runs were independent."""
    n, o = as_metric(new), as_metric(old)
    value = n.value - o.value
    return metrics.Interval(
        value,
        value - hypot(n.value - n.low, o.high - o.value),
        value + hypot(n.high - n.value, o.value - o.low),
    )


def as_metric(found: Interval) -> metrics.Interval:
    """A record's figure for computing; NaN in place of what is undefined."""
    value, low, high = (nan if end is None else end for end in (found.value, found.low, found.high))
    return metrics.Interval(value, low, high)
