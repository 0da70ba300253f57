"""Intervals of the verification figures.

A resample of patients is a set of weights on the pairs. Draw K of K patients with replacement, patient p being drawn
w_p times. A genuine pair is data of one patient: it comes w_p times. An impostor pair is data of two: each copy of the
one meets each copy of the other, so it comes w_a w_b times. Two copies of one patient make no new pair: it would be
genuine by the patient and an impostor by the draw.

Why the product: to first order it varies as (w_a - 1) + (w_b - 1), the sum of both patients' effects, which gives the
variance that patients lend to a U-statistic. Weighting by one side alone, or by the mean of both, loses half or three
quarters of it. What the product does overstate is the noise of a pair beyond its two patients: the variance of w_a w_b
is about 3, not 1 (Owen, 2007, "The pigeonhole bootstrap"). So intervals err to the wide side where patients have few
impostor pairs each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import ceil

import numpy as np
from numpy.typing import ArrayLike

from reidbench.metrics.intervals import (
    MOST_KEPT,
    NUMBERS_AT_ONCE,
    Interval,
    check_pairs,
    checked,
    effective_number,
    expanded_level,
    guarded_difference,
    guarded_graded,
    guarded_share,
    over_patients,
    over_patients_in_columns,
    percentile_interval,
    resample,
    too_few,
    where_guarded,
)
from reidbench.metrics.parallel import over_threads
from reidbench.metrics.validation import Floats, Indices, codes, scored_pairs
from reidbench.metrics.verification.columns import MOST_PAIRS, Columns, Counts, Sums, running_sums
from reidbench.metrics.verification.columns import NUMBERS_AT_ONCE as COLUMN_NUMBERS
from reidbench.metrics.verification.curve import Curve, Ranking
from reidbench.metrics.verification.figures import checked_rate

LOW_RATES = (0.01, 0.001)

# False positives that a rate must allow for an interval of the true positive rate at it. The threshold rests on so many
# of the highest impostor pairs. In repeated experiments (80 and 200 patients with equally many pairs, rates of 1 % and
# 0.1 %, patients who look like others more and less) 95 % intervals held the truth in 27 to 39 % with 0.3 of them, in
# 64 to 81 % with one, in 85 to 98 % with three and in 92 to 100 % with ten.
# That is for patients of equal weight; ten false positives do not make up for few patients. At 1 % with ten of them,
# 300 repetitions with 80 patients: 96 % where patients have equally many pairs; 90, 84 and 87 % where their numbers of
# pairs are lognormal with a deviation of 1, 1.5 and 2 (36, 19 and 12 effective patients, see `effective_number`). Where
# patients look like others twice as much, 88 % of equal ones and 78 % at a deviation of 1.5. More pairs of the same
# patients do not help: four times as many gave 89 % of equal ones and 77 % at 1.5. Most misses lie above the truth.
FALSE_POSITIVES_NEEDED = 10
# Patients that an interval over pairs needs: every resample of two that has an impostor pair has each of them once.
FEWEST_PATIENTS = 3


@dataclass(frozen=True)
class VerificationIntervals:
    """The figures of a set of scored pairs with intervals, all from the same resamples of patients.

    Attributes:
        auc: area under the ROC curve; at perfect separation no narrower than `guarded_graded` allows.
        eer: equal error rate; likewise.
        tpr_at_fpr: true positive rate at each false positive rate asked for; without ends where `why_unbounded` has a
            reason.
    """

    auc: Interval
    eer: Interval
    tpr_at_fpr: Mapping[float, Interval]


def why_unbounded(fpr: float, impostors: int, negatives: str = "impostor pairs") -> str | None:
    """Why the true positive rate at a false positive rate has no honest interval, in a few words; None if it has one.

    A resample of patients cannot show how far a threshold may move that rests on less than a handful of pairs: below
    10 / ``fpr`` impostor pairs a bootstrap's interval misses the truth several times too often, and nearly always to
    the high side. The figure itself stands, as the figure of these pairs.

    Args:
        fpr: the false positive rate, in [0, 1].
        impostors: how many impostor pairs there are.
        negatives: what to call them.
    """
    # At 1 every pair is accepted, whatever the scores. 0.001 has no binary form, and 10,000 pairs are enough for it.
    if fpr == 1 or fpr * impostors >= FALSE_POSITIVES_NEEDED * (1 - 1e-9):
        return None
    needed = f", {ceil(FALSE_POSITIVES_NEEDED / fpr * (1 - 1e-9)):,} are needed" if fpr else ""
    return f"{impostors:,} {negatives} are too few for an interval at {100 * fpr:.3g} % FPR{needed}"


def bounded_tpr(
    value: float,
    draws: Floats,
    level: float,
    *,
    fpr: float,
    impostors: int,
    patients: float,
    negatives: str = "impostor pairs",
) -> Interval:
    """A true positive rate at a false positive rate with its honest interval, or with the reason why it has none.

    Args:
        value: the rate.
        draws: resampled rates (runs,).
        level: coverage aimed at, in (0, 1).
        fpr: the false positive rate, in [0, 1].
        impostors: how many impostor pairs the threshold rests on.
        patients: whom the genuine pairs are of, by their effective number.
        negatives: what to call the impostor pairs.
    """
    why = why_unbounded(fpr, impostors, negatives)
    if why is not None and not np.isnan(value):
        return Interval(value, float("nan"), float("nan"), why)
    found = percentile_interval(value, draws, level)
    return found if fpr == 1 else guarded_share(found, patients, level)


def bootstrap_auc_pairs(
    scores: ArrayLike, same: ArrayLike, *, runs: int = 10_000, seed: int = 0, level: float = 0.95
) -> Interval:
    """AUC with the percentile interval of the literature: pairs resampled as if they were independent.

    They are not: pairs share patients, and the interval is several times too narrow. It stands beside the patient-level
    one for comparison with published figures. P of P pairs are drawn with replacement, the numbers of genuine and
    impostor pairs varying (not stratified); draws without either kind are left out.

    Args:
        scores: (P,), higher = more alike.
        same: (P,) booleans.
        runs: resamples.
        seed: of the resampling.
        level: coverage aimed at, in (0, 1).

    Returns:
        The area and its interval; NaN if either kind of pair is missing.

    Raises:
        ValueError: shapes differ, a score is NaN, or ``runs`` or ``level`` is out of range.
    """
    checked(runs, level)
    ranking = Ranking.of(scores, same)
    genuine = len(ranking.genuine)
    pairs = genuine + len(ranking.impostor)
    value = float(ranking.unweighted().auc())
    if np.isnan(value):
        return Interval(value, value, value)

    def draw(rng: np.random.Generator, count: int) -> Floats:
        areas = []
        for times in _drawn_pairs(rng, pairs, count):
            areas.append(Curve(ranking, times[:, :genuine], times[:, genuine:]).auc())
        return np.concatenate(areas)[:, None]

    if pairs <= MOST_PAIRS and pairs * runs <= MOST_KEPT:
        times, impostor_sums = _kept_pairs(genuine, pairs, runs, seed)
        at_once = _columns(pairs)
        parts = [slice(start, start + at_once) for start in range(0, runs, at_once)]
        areas = over_threads(lambda part: Columns(ranking, times[:, part], impostor_sums[:, part]).auc(), parts)
        return percentile_interval(value, np.concatenate(areas), level)
    return percentile_interval(value, resample(draw, runs, seed)[:, 0], level)


def _drawn_pairs(rng: np.random.Generator, pairs: int, count: int) -> Iterator[Indices]:
    """How often each of P pairs is drawn when P are drawn with replacement, (R, P) for some of ``count`` resamples."""
    at_once = max(1, NUMBERS_AT_ONCE // pairs)
    for start in range(0, count, at_once):
        stack = min(at_once, count - start)
        drawn = rng.integers(0, pairs, (stack, pairs)) + np.arange(stack)[:, None] * pairs
        yield np.bincount(drawn.ravel(), minlength=stack * pairs).reshape(stack, pairs)


# Every attack on as many pairs of each kind asks for the same resamples: their places are drawn, not the pairs.
@lru_cache(maxsize=4)
def _kept_pairs(genuine: int, pairs: int, runs: int, seed: int) -> tuple[Counts, Sums]:
    """Weights of the genuine pairs (n, runs), and running sums of those of the impostor pairs (m + 1, runs)."""

    def draw(rng: np.random.Generator, count: int) -> Counts:
        return np.concatenate([times.astype(np.uint16) for times in _drawn_pairs(rng, pairs, count)])

    times: Counts = np.ascontiguousarray(resample(draw, runs, seed).T)
    return times[:genuine].copy(), running_sums(times[genuine:])


def bootstrap_auc_patients(
    scores: ArrayLike,
    same: ArrayLike,
    patient_a: ArrayLike,
    patient_b: ArrayLike,
    *,
    runs: int = 10_000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """AUC with a percentile interval from resampling patients, on both sides of every pair.

    Resamples that leave no genuine or no impostor pair are left out. Percentiles are expanded for few patients
    (`expanded_level`), and at perfect separation the interval is no narrower than `guarded_graded` allows.

    Args:
        scores: (P,), higher = more alike.
        same: (P,) booleans.
        patient_a: (P,) patient of the first image, whole numbers or text.
        patient_b: (P,) patient of the second image; equal to ``patient_a`` exactly where ``same`` holds.
        runs: resamples.
        seed: of the resampling.
        level: coverage aimed at, in (0, 1).

    Returns:
        The area and its interval; NaN if either kind of pair is missing, and without ends for fewer than three
        patients.

    Raises:
        ValueError: shapes differ, a score is NaN, ``same`` contradicts the patients, or ``runs`` or ``level`` is out of
            range.
    """
    checked(runs, level)
    sample = _Sample.of(scores, same, patient_a, patient_b)
    values, draws = _over_patients([sample], lambda curves: [curves[0].auc()], runs, seed)
    if sample.patients < FEWEST_PATIENTS:
        return too_few(values[0], sample.patients)
    return _guarded(values[0], draws[:, 0], sample.effective_patients, level)


def bootstrap_verification_patients(
    scores: ArrayLike,
    same: ArrayLike,
    patient_a: ArrayLike,
    patient_b: ArrayLike,
    *,
    fprs: Sequence[float] = LOW_RATES,
    runs: int = 10_000,
    seed: int = 0,
    level: float = 0.95,
    guarded: bool = True,
) -> VerificationIntervals:
    """AUC, EER and TPR at low false positive rates, each with its interval, in one pass over resamples of patients.

    The AUC is the same, to the last digit, as `bootstrap_auc_patients` gives with the same seed. A true positive rate
    has no interval where `why_unbounded` has a reason, and none that is narrower at 0 and 1 than `guarded_share`
    allows.

    Args:
        scores: (P,), higher = more alike.
        same: (P,) booleans.
        patient_a: (P,) patient of the first image.
        patient_b: (P,) patient of the second image.
        fprs: the false positive rates, each in [0, 1].
        runs: resamples.
        seed: of the resampling.
        level: coverage aimed at, in (0, 1).
        guarded: whether percentiles of AUC and EER are expanded for few patients and guarded at perfect separation;
            False gives bare percentiles, as records had them before.

    Raises:
        ValueError: as `bootstrap_auc_patients`, or a rate is out of [0, 1].
    """
    checked(runs, level)
    rates = [checked_rate(fpr) for fpr in fprs]
    sample = _Sample.of(scores, same, patient_a, patient_b)
    values, draws = _verification_draws(sample, rates, runs, seed)
    if guarded:
        auc, eer = (_guarded(values[i], draws[:, i], sample.effective_patients, level) for i in range(2))
    else:
        auc, eer = (percentile_interval(values[i], draws[:, i], level) for i in range(2))
    if sample.patients < FEWEST_PATIENTS:
        auc, eer, *few = (too_few(value, sample.patients) for value in values)
        return VerificationIntervals(auc, eer, dict(zip(rates, few)))
    # A patient weighs by its genuine pairs.
    impostors, patients = len(sample.impostor_a), effective_number(np.bincount(sample.genuine_patient))
    tprs = [
        bounded_tpr(value, draws[:, 2 + i], level, fpr=rate, impostors=impostors, patients=patients)
        for i, (rate, value) in enumerate(zip(rates, values[2:]))
    ]
    return VerificationIntervals(auc, eer, dict(zip(rates, tprs)))


def _guarded(value: float, draws: Floats, patients: float, level: float) -> Interval:
    """A graded figure with its percentiles, expanded for so many effective patients and guarded at 0 and 1."""
    return guarded_graded(percentile_interval(value, draws, expanded_level(level, patients)), patients, level)


def _verification_draws(sample: _Sample, rates: Sequence[float], runs: int, seed: int) -> tuple[list[float], Floats]:
    """AUC, EER and the true positive rates: as they are, (2 + R,), and in each resample of patients, (runs, 2 + R)."""

    def figures(curves: Sequence[Curve]) -> list[Floats]:
        curve = curves[0]
        return [curve.auc(), curve.eer(), *(curve.tpr_at(fpr) for fpr in rates)]

    return _over_patients([sample], figures, runs, seed)


def bootstrap_auc_drop_patients(
    before: ArrayLike,
    after: ArrayLike,
    same: ArrayLike,
    patient_a: ArrayLike,
    patient_b: ArrayLike,
    *,
    after_pairs: tuple[ArrayLike, ArrayLike, ArrayLike] | None = None,
    runs: int = 10_000,
    seed: int = 0,
    level: float = 0.95,
    guarded: bool = True,
) -> Interval:
    """How far the AUC falls from one set of scores to another, with a paired interval.

    Both are weighed by the same resample of patients in every run, so what they share cancels: this interval, and not
    the overlap of two single ones, says whether two defenses differ. Percentiles are expanded for few patients, and
    where one of the areas is at perfect separation `guarded_difference` bounds them.

    Args:
        before: (P,) scores without the defense, or with the first.
        after: scores with the defense, or with the second: (P,) of the same pairs, or (Q,) of ``after_pairs``.
        same: (P,) booleans.
        patient_a: (P,) patient of the first image.
        patient_b: (P,) patient of the second image.
        after_pairs: the same three, (Q,), of pairs that ``after`` has scores of in place of these: other impostors, or
            images.
        runs: resamples.
        seed: of the resampling.
        level: coverage aimed at, in (0, 1).
        guarded: False gives bare percentiles, as records had them before.

    Returns:
        AUC before less AUC after, and its interval; NaN if either kind of pair is missing, and without ends for fewer
        than three patients.

    Raises:
        ValueError: as `bootstrap_auc_patients`.
    """
    checked(runs, level)
    pairs = (same, patient_a, patient_b)
    samples = _Sample.together((before, *pairs), (after, *(after_pairs or pairs)))
    values, draws = _over_patients(samples, lambda curves: [curve.auc() for curve in curves], runs, seed)
    value, fallen = values[0] - values[1], draws[:, 0] - draws[:, 1]
    if samples[0].patients < FEWEST_PATIENTS:
        return too_few(value, samples[0].patients)
    if not guarded:
        return percentile_interval(value, fallen, level)
    effective = [sample.effective_patients for sample in samples]
    found = percentile_interval(value, fallen, expanded_level(level, min(effective)))
    if after_pairs is None and np.array_equal(before, after):
        return found  # Whoever else comes, equal scores differ by nothing.
    areas = []
    for side in range(2):
        area = percentile_interval(values[side], draws[:, side], expanded_level(level, effective[side]))
        areas.append(where_guarded(area, guarded_graded(area, effective[side], level)))
    return guarded_difference(found, less=areas[1], of=areas[0])


@dataclass(frozen=True, eq=False)
class _Sample:
    """Scored pairs in order, with the patients of each in that order."""

    ranking: Ranking
    genuine_patient: Indices
    impostor_a: Indices
    impostor_b: Indices
    patients: int

    @property
    def pairs(self) -> int:
        return len(self.genuine_patient) + len(self.impostor_a)

    @property
    def effective_patients(self) -> float:
        """Whom either kind of pair is of, by their effective number, whichever are fewer."""
        impostors = np.bincount(self.impostor_a, minlength=self.patients)
        impostors += np.bincount(self.impostor_b, minlength=self.patients)
        return min(map(effective_number, (np.bincount(self.genuine_patient), impostors)))

    @classmethod
    def of(cls, scores: ArrayLike, same: ArrayLike, patient_a: ArrayLike, patient_b: ArrayLike) -> _Sample:
        return cls.together((scores, same, patient_a, patient_b))[0]

    @classmethod
    def together(cls, *scored: tuple[ArrayLike, ArrayLike, ArrayLike, ArrayLike]) -> list[_Sample]:
        """Samples that resamples of patients count alike: each of scores, same, and both patients of every pair."""
        numbers, patients = codes(*(side for _, _, *sides in scored for side in sides))
        made = []
        for (scores, same, _, _), first, second in zip(scored, numbers[::2], numbers[1::2]):
            _, flags = scored_pairs(scores, same)
            check_pairs(first, second, flags)
            rank = Ranking.of(scores, same)
            made.append(cls(rank, first[rank.genuine], first[rank.impostor], second[rank.impostor], patients))
        return made

    def curve(self, counts: Floats) -> Curve:
        """The curves with every patient counted so many times (R, K)."""
        impostor = counts.take(self.impostor_a, axis=-1)
        impostor *= counts.take(self.impostor_b, axis=-1)
        return Curve(self.ranking, counts.take(self.genuine_patient, axis=-1), impostor)

    def columns(self, counts: Counts) -> Columns:
        """The same with every patient counted so many times (K, R), less than 256 times each."""
        impostor = counts.take(self.impostor_a, axis=0)
        impostor *= counts.take(self.impostor_b, axis=0)
        return Columns(self.ranking, counts.take(self.genuine_patient, axis=0), running_sums(impostor))


def _over_patients(
    samples: Sequence[_Sample], figures: Callable[[Sequence[Curve]], list[Floats]], runs: int, seed: int
) -> tuple[list[float], Floats]:
    """Figures on the data as they are, and on resamples of patients (runs, figures), the same for every sample."""
    values = [float(value) for value in figures([sample.ranking.unweighted() for sample in samples])]
    if np.isnan(values).any():
        return values, np.full((runs, len(values)), np.nan)

    patients, pairs = samples[0].patients, max(sample.pairs for sample in samples)
    if pairs <= MOST_PAIRS and patients * runs <= MOST_KEPT:
        return values, over_patients_in_columns(
            lambda counts: np.stack(figures([_weighed(sample, counts) for sample in samples]), axis=1),
            patients,
            runs,
            seed,
            columns=_columns(pairs),
        )

    def resampled(counts: Floats) -> Floats:
        return np.stack(figures([sample.curve(counts) for sample in samples]), axis=1)

    return values, over_patients(resampled, patients, runs, seed, width=pairs)


def _weighed(sample: _Sample, counts: Counts) -> Curve:
    # The product of two counts below 256 fits into 16 bits; nobody will see a patient drawn more often.
    if int(counts.max(initial=0)) < 256:
        return sample.columns(counts)
    return sample.curve(np.ascontiguousarray(counts.T, dtype=np.float64))


def _columns(pairs: int) -> int:
    """How many resamples are made at once."""
    return max(1, COLUMN_NUMBERS // max(pairs, 1))
