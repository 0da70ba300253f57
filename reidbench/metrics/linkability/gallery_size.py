"""How success falls with the size of the gallery: exactly within a cohort, by a model beyond it.

A probe of one patient is asked for one other image of that patient among N − 1 images of other patients, drawn at
random. If a of D such images score higher than the right one, none of them is drawn with probability
C(D − a, N − 1) / C(D, N − 1); so one matrix of scores gives every N up to D + 1, without drawing. Under ties the right
image takes each place among its equals with the same probability, and by the sum over a column of Pascal's triangle
the mean over t + 1 places is (C(D − a + 1, N) − C(D − a − t, N)) / ((t + 1) C(D, N − 1)).

Beyond the cohort a model is needed: the share q of all images that score higher than the right one follows a beta
distribution over probes, so that success is the mean of (1 − q)^(N − 1), B(α, β + N − 1) / B(α, β). α and β are those
under which the observed a are most likely (beta-binomial).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize
from scipy.special import betaln, gammaln, psi
from threadpoolctl import threadpool_limits

from reidbench.metrics.intervals import Interval, bootstrap_mean_patients, percentile_interval
from reidbench.metrics.retrieval.ranking import BLOCK_SCORES, ScoreBlock
from reidbench.metrics.validation import Floats, Indices, codes

#: Places among equals that stand for all of them in the model, and at most so many in all.
PLACES = 32
MOST_PLACES = 2**23


@dataclass(frozen=True, eq=False)
class Rivals:
    """How many images of other patients stand before the right one, for every probe and each right image.

    Attributes:
        patients: (M,) the probe's patient.
        probes: (M,) the probe.
        above: (M,) images of other patients that score higher.
        tied: (M,) those that score the same.
        others: (M,) all images of other patients.
    """

    patients: Indices
    probes: Indices
    above: Indices
    tied: Indices
    others: Indices


@dataclass(frozen=True)
class AtSize:
    """Success in a gallery of one size.

    Attributes:
        gallery: N, images that are searched, the right one among them.
        precision_at_1: mean over patients of the probability that the right image is first.
        patients_found: share of patients of whom some probe finds the right image first, each probe asked in a gallery
            of its own; None where it is extrapolated.
        extrapolated: whether the model says so, in place of the scores.
    """

    gallery: int
    precision_at_1: Interval
    patients_found: Interval | None
    extrapolated: bool


def rivals(score_block: ScoreBlock, patients: ArrayLike) -> Rivals:
    """Counts the images of other patients before each right one, block by block.

    Args:
        score_block: rows of the (N, N) matrix of scores, probes by gallery; row i of both shows one image.
        patients: (N,) each image's patient.

    Raises:
        ValueError: a score is not finite.
    """
    (patient,), _ = codes(patients)
    count = len(patient)
    sizes = np.bincount(patient)
    by_patient = np.split(np.argsort(patient, kind="stable"), np.cumsum(sizes)[:-1]) if count else []
    found: list[tuple[Indices, ...]] = []
    step = max(1, BLOCK_SCORES // max(1, count))
    for begin in range(0, count, step):
        rows = np.arange(begin, min(begin + step, count))
        block = np.asarray(score_block(slice(begin, begin + len(rows))))
        if not np.isfinite(block).all():
            raise ValueError("scores are not all finite")
        for row, scores in zip(rows.tolist(), block):
            mine = by_patient[patient[row]]
            right = mine[mine != row]
            if not len(right):
                continue
            # Only rivals count: other images of the patient are right too, and are asked for one at a time.
            ordered = np.sort(np.delete(scores, mine))
            above = len(ordered) - np.searchsorted(ordered, scores[right], side="right")
            tied = len(ordered) - np.searchsorted(ordered, scores[right], side="left") - above
            same = np.ones(len(right), dtype=np.intp)
            found.append((patient[row] * same, row * same, above, tied, len(ordered) * same))
    empty = np.empty(0, dtype=np.intp)
    return Rivals(*(np.concatenate([empty, *each]) for each in zip(*found))) if found else Rivals(*[empty] * 5)


def first_among(found: Rivals, gallery: int) -> Floats:
    """(M,) the probability that the right image is first in a gallery of N images; NaN where the cohort has too few.

    Raises:
        ValueError: the gallery has no room for the right image.
    """
    if gallery < 1:
        raise ValueError(f"a gallery has at least one image, not {gallery}")
    below = (found.others - found.above).astype(np.float64)
    tied, drawn, others = found.tied.astype(np.float64), gallery - 1, found.others.astype(np.float64)
    whole = _log_choose(others, drawn)
    with np.errstate(invalid="ignore"):
        sums = np.exp(_log_choose(below + 1, gallery) - whole) - np.exp(_log_choose(below - tied, gallery) - whole)
    return np.where(others >= drawn, sums / (tied + 1), np.nan)


def success_by_size(
    found: Rivals, sizes: ArrayLike, *, runs: int = 1000, seed: int = 0, model_runs: int = 50, level: float = 0.95
) -> list[AtSize]:
    """Success at galleries of these sizes, by the model where the cohort has too few images.

    Args:
        found: from :func:`rivals`.
        sizes: of galleries, in images.
        runs: resamples of patients behind every interval.
        seed: of the resampling.
        model_runs: resamples behind an extrapolated interval, of which each fits the model again.
        level: coverage aimed at, in (0, 1).
    """
    if not len(found.patients):
        return []
    room = int(found.others.min()) + 1
    made = []
    fits: list[tuple[float, float]] | None = None
    for gallery in np.asarray(sizes, dtype=np.intp).tolist():
        if gallery <= room:
            value = first_among(found, gallery)
            _, first, place = np.unique(found.probes, return_index=True, return_inverse=True)
            each = np.bincount(place, weights=value) / np.bincount(place)
            (owner,), patients = codes(found.patients[first])
            missed = np.ones(patients)
            np.multiply.at(missed, owner, 1 - np.clip(each, 0, 1))
            shared: dict[str, Any] = {"share": True, "runs": runs, "seed": seed, "level": level}
            precision = bootstrap_mean_patients(np.clip(each, 0, 1), owner, each="patient", **shared)
            known = bootstrap_mean_patients(np.clip(1 - missed, 0, 1), np.arange(patients), **shared)
            made.append(AtSize(gallery, precision, known, False))
            continue
        if fits is None:
            fits = _fits(found, model_runs, seed)
        values = [success_of_model(fit, gallery) for fit in fits]
        made.append(AtSize(gallery, percentile_interval(values[0], np.array(values[1:]), level), None, True))
    return made


def success_of_model(shape: tuple[float, float], gallery: int) -> float:
    """The mean of (1 − q)^(N − 1) over a beta distribution of q with this α and β."""
    alpha, beta = shape
    return float(np.exp(betaln(alpha, beta + gallery - 1) - betaln(alpha, beta)))


def fit_model(above: Floats, others: Floats, weights: Floats) -> tuple[float, float]:
    """α and β of the beta distribution under which these counts are most likely.

    Args:
        above: (M,) rivals that score higher, of
        others: (M,) rivals in all.
        weights: (M,) how much each count tells.
    """

    part = weights / weights.sum()

    def loss(logs: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        alpha, beta = np.exp(logs)
        terms = betaln(above + alpha, others - above + beta) - betaln(alpha, beta)
        whole = psi(others + alpha + beta) - psi(alpha + beta)
        slopes = psi(above + alpha) - psi(alpha) - whole, psi(others - above + beta) - psi(beta) - whole
        return -float(part @ terms), -np.exp(logs) * np.array([part @ slope for slope in slopes])

    share = float(part @ ((above + 0.5) / (others + 1)))
    start = np.log([0.3, 0.3 * (1 - share) / share])
    best = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(-12.0, 12.0), (-12.0, 25.0)])
    alpha, beta = np.exp(best.x)
    return float(alpha), float(beta)


def _fits(found: Rivals, runs: int, seed: int) -> list[tuple[float, float]]:
    """The model of all patients, and of each resample."""
    (owner,), patients = codes(found.patients)
    # A patient counts once, whatever its images.
    share = 1.0 / np.bincount(owner)[owner]
    line, above, part = _places(found)
    owner, share = owner[line], share[line] * part
    # Patients differ little in how many images are not theirs: shares of the mean make many counts equal.
    others = round(float(found.others.mean()))
    above = np.round(above * (others / found.others[line]))
    counts = np.random.default_rng(seed).multinomial(patients, np.full(patients, 1 / patients), size=runs)
    # Equal counts are one term of the likelihood.
    kinds, place = np.unique(above, return_inverse=True)
    whole = np.full(len(kinds), float(others))

    def fit(times: NDArray[Any]) -> tuple[float, float]:
        weights: Floats = np.bincount(place, weights=share * times[owner], minlength=len(kinds)).astype(np.float64)
        return fit_model(kinds, whole, weights)

    # Two numbers are sought: threads of BLAS would only wait for each other, for most of the time that this takes.
    with threadpool_limits(1, user_api="blas"):
        return [fit(times) for times in np.concatenate([np.ones((1, patients), dtype=np.int64), counts])]


def _places(found: Rivals) -> tuple[Indices, Floats, Floats]:
    """Lines of the counts, how many rivals stand above, and with what probability: a tied image takes each place among
    its equals alike, of which some are taken at equal distances."""
    tied = np.flatnonzero(found.tied)
    places = int(np.clip(MOST_PLACES // max(1, len(tied)), 2, PLACES))
    lines = [np.flatnonzero(found.tied == 0), np.repeat(tied, places)]
    middles = (np.arange(places) + 0.5) / places
    among = np.floor((found.tied[tied, None] + 1) * middles).ravel()
    above = np.concatenate([found.above[lines[0]], found.above[lines[1]] + among]).astype(np.float64)
    part = np.concatenate([np.ones(len(lines[0])), np.full(len(lines[1]), 1.0 / places)])
    return np.concatenate(lines), above, part


def _log_choose(items: Floats, drawn: float) -> Floats:
    """log C(items, drawn), minus infinity where there are too few."""
    enough = items >= drawn
    safe = np.where(enough, items, drawn)
    return np.where(enough, gammaln(safe + 1) - gammaln(drawn + 1) - gammaln(safe - drawn + 1), -np.inf)
