"""Genuine pairs by what lies between their two visits: the strata of the 2022 paper's Figure 4 and Tables 2 and 4."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reidbench import metrics
from reidbench.cohorts.base import Cohort
from reidbench.cohorts.pairing.image_pairs import Pairs
from reidbench.records import schema
from reidbench.records.parts.common import Interval

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

# Whole years between visits; the last stratum is open. The longest gap in the 2022 paper is twelve years.
LONGEST_GAP = 12
GAPS = (*(str(years) for years in range(LONGEST_GAP)), f"{LONGEST_GAP}+")
_DAYS_A_YEAR = 365.25


@dataclass(frozen=True, eq=False)
class Stratified:
    """Genuine pairs divided by one property.

    Attributes:
        source: the columns that tell.
        names: of the S strata.
        places: (P,) float64, 0..S-1; NaN where a pair's stratum is unknown.
        missing: why nothing can be told; None if it can.
    """

    source: str
    names: tuple[str, ...]
    places: Floats
    missing: str | None = None


class GenuineStrata:
    """The genuine pairs of a test part by age gap, new finding, view, sex and foreign material.

    Args:
        part: the images that the pairs are of; columns that its table lacks are said to be missing.
        pairs: genuine and impostor pairs; only genuine ones have a stratum.
    """

    def __init__(self, part: Cohort, pairs: Pairs) -> None:
        self._genuine = pairs.same
        self._patients = part.frame["patient"].to_numpy()[pairs.a[pairs.same]]
        a, b = pairs.a[pairs.same], pairs.b[pairs.same]
        self.by = {name: divide(part, a, b) for name, divide in DIVISIONS.items()}
        self._patients_in = {name: self._count(stratified) for name, stratified in self.by.items()}

    def judge(
        self,
        thresholds: dict[str, tuple[NDArray[np.floating[Any]], float | None]],
        *,
        runs: int,
        seed: int,
    ) -> dict[str, schema.Stratification]:
        """The true positive rate of every stratum at every threshold.

        Args:
            thresholds: by the name of a field of :class:`~reidbench.records.schema.StratumRates`: the scores of all
                pairs (P,) on the threshold's scale, and the threshold; None where there is none.
            runs: bootstrap resamplings.
            seed: of the resampling.
        """
        known = {name: (s[self._genuine], t) for name, (s, t) in thresholds.items() if t is not None}
        return {name: self._judge(name, known, runs, seed) for name in self.by}

    def _count(self, by: Stratified) -> list[int]:
        return [len(np.unique(self._patients[by.places == number])) for number in range(len(by.names))]

    def _judge(
        self,
        name: str,
        thresholds: dict[str, tuple[NDArray[np.floating[Any]], float]],
        runs: int,
        seed: int,
    ) -> schema.Stratification:
        by = self.by[name]
        rates = {
            threshold: metrics.tpr_by_stratum(
                scores, by.places, self._patients, value, strata=len(by.names), runs=runs, seed=seed
            )
            for threshold, (scores, value) in thresholds.items()
            if by.missing is None
        }
        strata = [
            schema.StratumRates(
                name=stratum,
                pairs=int((by.places == number).sum()),
                patients=self._patients_in[name][number],
                **{threshold: Interval.of(found[number].tpr) for threshold, found in rates.items()},
            )
            for number, stratum in enumerate(by.names if by.missing is None else ())
        ]
        return schema.Stratification(
            source=by.source, missing=by.missing, unknown=int(np.isnan(by.places).sum()), strata=strata
        )


def age_gap(part: Cohort, a: Rows, b: Rows) -> Stratified:
    """Whole years between the visits, from the finest column there is: days, years, or else the ages themselves."""
    for column, unit in (("days", _DAYS_A_YEAR), ("years", 1.0), ("age", 1.0)):
        if column in part.frame and part.frame[column].notna().any():
            when = part.frame[column].to_numpy(dtype=np.float64) / unit
            return Stratified(column, GAPS, np.minimum(np.floor(np.abs(when[a] - when[b])), LONGEST_GAP))
    return _missing("days, years or age", GAPS, len(a))


def new_finding(part: Cohort, a: Rows, b: Rows) -> Stratified:
    """Whether a finding is present in one image and not in the other.

    A finding that is unknown in either image could be new: such a pair is in no stratum, unless another finding is.
    """
    names = ("same findings", "new finding")
    labels = [label for label in part.labels if part.frame[label].notna().any()]
    if not labels:
        return _missing("findings", names, len(a))
    found = part.frame[labels].to_numpy(dtype=np.float64)
    apart = np.abs(found[a] - found[b])
    new = np.nanmax(np.where(np.isnan(apart), 0.0, apart), axis=1)
    return Stratified("findings", names, np.where((new == 0) & np.isnan(apart).any(axis=1), np.nan, new))


def view(part: Cohort, a: Rows, b: Rows) -> Stratified:
    """Both from behind, both from the front, or one of each."""
    return _two_sided(part, "view", {"PA": 0.0, "AP": 1.0}, ("PA-PA", "PA-AP", "AP-AP"), a, b)


def foreign_material(part: Cohort, a: Rows, b: Rows) -> Stratified:
    """Foreign material in neither image, in one, or in both."""
    return _two_sided(part, "foreign_material", {0.0: 0.0, 1.0: 1.0}, ("neither", "one", "both"), a, b)


def sex(part: Cohort, a: Rows, b: Rows) -> Stratified:
    """The patient's sex; unknown where the two rows contradict each other."""
    both = _two_sided(part, "sex", {"F": 0.0, "M": 1.0}, ("F", "contradiction", "M"), a, b)
    places = np.select([both.places == 0, both.places == 2], [0.0, 1.0], np.nan)
    return Stratified("sex", ("F", "M"), places, both.missing)


def _two_sided(
    part: Cohort, column: str, values: dict[Any, float], names: tuple[str, ...], a: Rows, b: Rows
) -> Stratified:
    """By how many of a pair's images have the second of two values: 0, 1 or 2."""
    if column not in part.frame or part.frame[column].isna().all():
        return _missing(column, names, len(a))
    second = pd.Series(part.frame[column]).map(values).to_numpy(dtype=np.float64)
    return Stratified(column, names, second[a] + second[b])


def _missing(source: str, names: tuple[str, ...], pairs: int) -> Stratified:
    return Stratified(source, names, np.full(pairs, np.nan), f"the table has no {source}")


DIVISIONS: dict[str, Callable[[Cohort, Rows, Rows], Stratified]] = {
    "age_gap": age_gap,
    "new_finding": new_finding,
    "view": view,
    "sex": sex,
    "foreign_material": foreign_material,
}


def keep_headline_strata(attacks: Sequence[schema.Attack]) -> list[schema.Attack]:
    """The attacks of a run, of which only the strongest that has strata keeps them: the one whose strata are shown.

    Those of the others would be most of a record; they follow from its scores and the table of the images.
    """

    def auc(attack: schema.Attack) -> float:
        divided = isinstance(attack.metrics, schema.VerificationMetrics) and attack.metrics.strata
        value = attack.metrics.auc.value if divided else None  # type: ignore[union-attr]
        return -1.0 if value is None else value

    strongest = max(attacks, key=auc, default=None)
    return [attack if attack is strongest else _without_strata(attack) for attack in attacks]


def _without_strata(attack: schema.Attack) -> schema.Attack:
    if not isinstance(attack.metrics, schema.VerificationMetrics) or attack.metrics.strata is None:
        return attack
    return attack.model_copy(update={"metrics": attack.metrics.model_copy(update={"strata": None})})
