"""Who was a model trained on? Figures of membership attacks, and what they prove of a claimed epsilon."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from reidbench.metrics.intervals import Interval, checked, guarded_graded, over_patients, percentile_interval
from reidbench.metrics.validation import Bools, Floats, binary, score_vector
from reidbench.metrics.verification.bootstrap import bounded_tpr
from reidbench.metrics.verification.curve import Curve, Ranking
from reidbench.metrics.verification.figures import checked_rate

#: No guarantee in use is weaker than this, and no number of patients could confirm a larger value.
MOST_EPSILON = 50.0


@dataclass(frozen=True)
class MembershipIntervals:
    """How well members are told from others.

    Attributes:
        auc: how often a member scores above somebody else; a percentile interval, at perfect separation no narrower
            than `guarded_graded` allows.
        tpr_at_fpr: share of the members found, at each false positive rate asked for; without ends where the others
            are fewer than 10 / the rate, and no narrower at 0 and 1 than `guarded_share` allows for so many members.
    """

    auc: Interval
    tpr_at_fpr: Mapping[float, Interval]


def bootstrap_membership(
    scores: ArrayLike,
    member: ArrayLike,
    *,
    fprs: Sequence[float],
    runs: int = 10_000,
    seed: int = 0,
    level: float = 0.95,
) -> MembershipIntervals:
    """Figures of a membership attack with intervals from resampling patients.

    A patient is one trial, or one in each of several attacked models. Figures are then means over the models, for each
    of which the same patients are drawn: the interval says nothing of other models.

    Args:
        scores: (P,) one score per patient, higher = more likely a member; (T, P) for T attacked models.
        member: booleans of the same shape.
        fprs: false positive rates, each in [0, 1].
        runs: resamples, P of P patients each.
        seed: of the resampling.
        level: coverage aimed at, in (0, 1).

    Returns:
        The figures; NaN throughout without members or without others.

    Raises:
        ValueError: shapes differ, a score is NaN, or ``runs``, ``level`` or a rate is out of range.
    """
    checked(runs, level)
    rates = [checked_rate(fpr) for fpr in fprs]
    given, flags = np.asarray(scores), np.asarray(member)
    if given.shape != flags.shape or given.ndim not in (1, 2) or given.shape[:-1] == (0,):
        raise ValueError(f"scores {given.shape} and member {flags.shape}: both are (P,) or (T, P), T at least 1")
    rankings = [Ranking.of(*one) for one in zip(np.atleast_2d(given), np.atleast_2d(flags))]
    patients = given.shape[-1]

    def figures(curves: Sequence[Curve]) -> list[Floats]:
        each = [[curve.auc(), *(curve.tpr_at(fpr) for fpr in rates)] for curve in curves]
        return [np.mean(found, axis=0) for found in zip(*each)]

    def resampled(times: Floats) -> Floats:
        curves = [Curve(one, times[:, one.genuine], times[:, one.impostor]) for one in rankings]
        return np.stack(figures(curves), axis=1)

    values = [float(value) for value in figures([ranking.unweighted() for ranking in rankings])]
    if np.isnan(values).any():
        undefined = Interval(float("nan"), float("nan"), float("nan"))
        return MembershipIntervals(undefined, dict.fromkeys(rates, undefined))
    draws = over_patients(resampled, patients, runs, seed, width=patients)
    # Of the model with the fewest: what one of them is too few for, a mean does not mend.
    members = min(len(ranking.genuine) for ranking in rankings)
    others = min(len(ranking.impostor) for ranking in rankings)
    tprs = {
        rate: bounded_tpr(
            values[1 + i],
            draws[:, 1 + i],
            level,
            fpr=rate,
            impostors=others,
            patients=members,
            negatives="held-out patients",
        )
        for i, rate in enumerate(rates)
    }
    area = guarded_graded(percentile_interval(values[0], draws[:, 0], level), min(members, others), level)
    return MembershipIntervals(area, tprs)


def likelihood_ratios(target: ArrayLike, shadows: ArrayLike, included: ArrayLike) -> Floats:
    """LiRA: how much likelier a model's confidence in each patient is, had the patient been among its training data.

    After Carlini et al., "Membership inference attacks from first principles" (2022), with few shadow models: each
    patient has a normal distribution of the confidence in and one out of the training, with a mean of the patient's own
    and one deviation for all. A patient whom all shadows (or none) were trained on gets the missing mean from the
    present one and the mean difference of the others.

    Args:
        target: (P,) the attacked model's confidence in each patient, on a scale that is near normal.
        shadows: (K, P) that of shadow models.
        included: (K, P) booleans, whom each shadow was trained on.

    Returns:
        (P,) log-likelihood ratios, higher = more likely a member; 0 throughout where no patient was both in and out.

    Raises:
        ValueError: shapes differ, a confidence is NaN, or there is no shadow.
    """
    values = score_vector(target, "target")
    seen = np.asarray(shadows, dtype=np.float64)
    flags = binary(included, "included")
    if seen.ndim != 2 or not len(seen) or seen.shape != flags.shape or seen.shape[1:] != values.shape:
        raise ValueError(f"target {values.shape} needs shadows (K, P) and included alike, not {seen.shape}")
    if np.isnan(seen).any():
        raise ValueError("shadows hold NaN")
    inside, outside = _mean(seen, flags), _mean(seen, ~flags)
    both = ~np.isnan(inside) & ~np.isnan(outside)
    if not both.any():
        return np.zeros(len(values))
    shift = float((inside - outside)[both].mean())
    inside = np.where(np.isnan(inside), outside + shift, inside)
    outside = np.where(np.isnan(outside), inside - shift, outside)
    spread_in, spread_out = _spread(seen, flags, inside), _spread(seen, ~flags, outside)
    here = _normal_log_density(values, inside, spread_in) - _normal_log_density(values, outside, spread_out)
    return np.asarray(here, dtype=np.float64)


def guess_members(scores: ArrayLike, guesses: int) -> Floats:
    """The surest guesses: half of them that a patient is a member, half that one is not.

    Args:
        scores: (P,), higher = more likely a member.
        guesses: how many, 0 to P; an odd one is left out.

    Returns:
        (P,) 1 for a guessed member, -1 for a guessed other, 0 where nothing is guessed. Of equal scores the first come
        first.

    Raises:
        ValueError: a NaN score, or more guesses than patients.
    """
    values = score_vector(scores)
    if not 0 <= guesses <= len(values):
        raise ValueError(f"{guesses} guesses of {len(values)} patients")
    made = np.zeros(len(values))
    order = np.argsort(-values, kind="stable")
    half = guesses // 2
    made[order[:half]] = 1
    made[order[len(order) - half :]] = -1
    return made


def one_run_p_value(correct: int, guesses: int, candidates: int, epsilon: float, delta: float) -> float:
    """How likely so many correct guesses are at most, were the training (epsilon, delta)-private.

    Steinke, Nasr and Jagielski, "Privacy auditing with one (1) training run" (2023), theorem 5.2: each candidate is in
    the training data or not by a fair coin of its own; the number of correct guesses then hardly exceeds a binomial
    one whose chance is e^epsilon / (1 + e^epsilon).

    Args:
        correct: correct guesses, 0 to ``guesses``.
        guesses: guesses made, 0 to ``candidates``.
        candidates: patients for whom a coin was tossed.
        epsilon: from 0 on.
        delta: in [0, 1].

    Raises:
        ValueError: a number out of its range.
    """
    if not 0 <= correct <= guesses <= candidates:
        raise ValueError(f"{correct} correct of {guesses} guesses of {candidates} candidates")
    if not (epsilon >= 0 and 0 <= delta <= 1):
        raise ValueError(f"epsilon={epsilon:g}, delta={delta:g}: epsilon is from 0 on, and delta in [0, 1]")
    chance = 1 / (1 + np.exp(-epsilon))
    tail = _binomial_tail(correct, guesses, chance)
    if not correct or not delta:
        return min(1.0, tail)
    # P[correct - i <= W < correct] / i at its highest: what mass delta can lift over the threshold.
    below = np.cumsum(_binomial(np.arange(correct - 1, -1, -1), guesses, chance))
    lifted = float((below / np.arange(1, correct + 1)).max())
    return min(1.0, tail + 2 * candidates * delta * lifted)


def epsilon_lower_bound(correct: int, guesses: int, candidates: int, *, delta: float, level: float = 0.95) -> float:
    """The epsilon that so many correct guesses prove: a smaller one is refused with confidence ``level``.

    Args:
        correct: as in :func:`one_run_p_value`.
        guesses: likewise.
        candidates: likewise.
        delta: of the claim, in [0, 1].
        level: confidence, in (0, 1).

    Returns:
        The bound, 0 where nothing is proved; 50 at most.

    Raises:
        ValueError: a number out of its range.
    """
    checked(1, level)
    low, high = 0.0, MOST_EPSILON
    if one_run_p_value(correct, guesses, candidates, low, delta) > 1 - level:
        return 0.0
    if one_run_p_value(correct, guesses, candidates, high, delta) <= 1 - level:
        return high
    while high - low > 1e-6:
        middle = (low + high) / 2
        refused = one_run_p_value(correct, guesses, candidates, middle, delta) <= 1 - level
        low, high = (middle, high) if refused else (low, middle)
    return low


def _mean(values: Floats, flags: Bools) -> Floats:
    # Over the shadows that the flags name; NaN for a patient of whom they name none.
    counts = flags.sum(axis=0)
    means = np.full(values.shape[1], np.nan)
    np.divide((values * flags).sum(axis=0), counts, out=means, where=counts > 0)
    return means


def _spread(values: Floats, flags: Bools, means: Floats) -> float:
    # One deviation for all patients, with the degrees of freedom that their own means take; some shadows are too few
    # for each patient's own.
    residuals = ((values - means) ** 2)[flags]
    freedom = max(1, len(residuals) - int(flags.any(axis=0).sum()))
    return float(max(np.sqrt(residuals.sum() / freedom), 1e-6))


# What scipy.stats has of these takes longer to import than everything else that a leaderboard needs.
def _normal_log_density(values: Floats, mean: Floats, deviation: float) -> Floats:
    return np.asarray(-(((values - mean) / deviation) ** 2) / 2 - np.log(deviation) - np.log(2 * np.pi) / 2)


def _binomial(counts: NDArray[np.intp], draws: int, chance: float) -> Floats:
    """P[W = count] of a binomial W."""
    from scipy.special import gammaln, xlog1py, xlogy

    orders = gammaln(draws + 1) - gammaln(counts + 1) - gammaln(draws - counts + 1)
    return np.exp(orders + xlogy(counts, chance) + xlog1py(draws - counts, -chance))


def _binomial_tail(least: int, draws: int, chance: float) -> float:
    """P[W >= least] of a binomial W."""
    from scipy.special import betainc

    return 1.0 if least <= 0 else float(betainc(least, draws - least + 1, chance))
