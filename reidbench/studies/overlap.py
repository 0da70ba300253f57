"""Patients that two datasets may share: every image of one against every image of the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from reidbench import metrics
from reidbench.attackers.base import Attacker
from reidbench.choosing import dataset_options
from reidbench.cohorts.base import Cohort, Dataset, remap
from reidbench.cohorts.load import load_cohort
from reidbench.cohorts.notes import say_notes
from reidbench.errors import ReidbenchError
from reidbench.harness.experiment import Experiment
from reidbench.progress import Progress
from reidbench.records.parts.training import TrainingInfo
from reidbench.settings import Settings
from reidbench.steps.attackers import Trained, embed
from reidbench.steps.releases import Images

#: Of a larger dataset so many patients, drawn at random, make the impostor pairs: four and a half million of them.
IMPOSTOR_PATIENTS = 3_000
#: Into so many groups of equal size impostor pairs are sorted by how many image pairs they have.
SIZE_GROUPS = 6
_SEED = 20_220_926


@dataclass(frozen=True, eq=False)
class Searched:
    """A dataset as it is searched, its images ordered by patient.

    Attributes:
        cohort: the images, in the dataset's order.
        rows: (N,) rows of the cohort, patient after patient.
        patients: (N,) the patient of each of these rows as 0..P-1, rising.
        names: (P,) the dataset's identifiers of them.
        images: (P,) how many images each has.
        trained_on: (P,) whether the attacker was trained on them; false for all where its training kept the initial
            weights. Of the dataset of the training these are the train patients, and of a bundle's those with an image
            that it was trained on. Which patients another dataset shares with the first is not known here.
        vectors: (N, D) of the images at ``rows``.
    """

    cohort: Cohort
    rows: NDArray[np.int64]
    patients: NDArray[np.int64]
    names: NDArray[Any]
    images: NDArray[np.int64]
    trained_on: NDArray[np.bool_]
    vectors: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Overlap:
    """What a search found.

    Attributes:
        a, b: both datasets.
        trained_on: the name of the dataset whose train split the attacker learned on.
        attacker: its name.
        learned: whether its training loss left its starting value.
        compared: patient pairs, one of each dataset.
        impostors: patient pairs within a dataset that false positives were counted on.
        table: one row per candidate, the best first: ``rank``, ``patient_a``, ``patient_b``, ``images_a``,
            ``images_b``, ``image_a`` and ``image_b`` (the best image pair), ``score`` (of these two), ``mean_score``
            (over all image pairs of the two), ``false_positive_rate`` (share of pairs of two different patients that
            reach the score), ``expected_false`` (how many of all compared pairs would reach it by chance), ``q_value``
            (the share of false ones to be expected up to this rank), ``trained_on`` (whether the attacker had learned
            on one of the two), and ``known_above`` (the number of impostor pairs that reach the score: how much the
            expectation rests on).
        rows: (K, 2) rows of the two cohorts that hold the best image pair of each candidate.
    """

    a: Searched
    b: Searched
    trained_on: str
    attacker: str
    learned: bool
    compared: int
    impostors: int
    table: pd.DataFrame
    rows: NDArray[np.int64]


def overlap(
    a: Dataset,
    b: Dataset,
    settings: Settings,
    *,
    train_on: Dataset | None = None,
    known: frozenset[tuple[str, str]] = frozenset(),
    top: int,
    strict: bool = False,
    progress: Progress,
) -> Overlap:
    """Trains an attacker as a run does, and ranks all pairs of a patient of one dataset and a patient of the other.

    Args:
        settings: with one attacker.
        train_on: the dataset to learn on, its train split; ``a`` if left out. If it shares patients with a dataset
            that is searched and has another revision, pairs of two of these count as impostors, though the attacker
            was taught to tell them apart: too few false ones may then be expected.
        known: pairs of patients that are known to be shared; only checked here, they decide nothing.
        top: candidates to report.
        strict: refuse a dataset with unreadable images in place of leaving them out.

    Raises:
        ReidbenchError: a dataset cannot be loaded or learned on, or too few patients are known to be different.
    """
    if top < 1:
        raise ReidbenchError(f"--top {top}: at least 1 candidate is needed")

    def load(dataset: Dataset) -> Cohort:
        cohort = load_cohort(dataset, size=settings.size, cache=settings.cache, strict=strict, progress=progress)
        say_notes(cohort.name, cohort.notes, progress)
        return cohort

    cohorts = load(a), load(b)
    if cohorts[0].revision == cohorts[1].revision:
        raise ReidbenchError(f"both datasets are the same ({cohorts[0].name}): they share all their patients")
    require_known(known, cohorts)
    learned_from = load(train_on) if train_on is not None else cohorts[0]
    experiment = Experiment(learned_from, dataset_options(train_on or a), settings, progress)
    trained = experiment.make_ignorant(settings.attackers[0])
    sides = [_searched(cohort, learned_from, trained, experiment, settings) for cohort in cohorts]
    impostors = _impostors(sides, trained, progress)
    table, rows = _ranked(sides, trained, impostors, top, progress)
    return Overlap(
        a=sides[0],
        b=sides[1],
        trained_on=learned_from.name,
        attacker=trained.attacker.name,
        learned=trained.training.learned,
        compared=len(sides[0].images) * len(sides[1].images),
        impostors=len(impostors.scores),
        table=table,
        rows=rows,
    )


@dataclass(frozen=True, eq=False)
class _Impostors:
    """Pairs of two patients of one dataset: their scores, numbers of image pairs, and on how many of the two the
    attacker was trained."""

    scores: NDArray[np.float64]
    image_pairs: NDArray[np.int64]
    trained_on: NDArray[np.int64]


def _searched(
    cohort: Cohort, learned_from: Cohort, trained: Trained, experiment: Experiment, settings: Settings
) -> Searched:
    images = Images(cohort.pixels, f"originals:{cohort.revision}:{cohort.size}:all")
    vectors = embed(trained, images, settings=settings, cache=experiment.cache)
    patients = remap(cohort.frame["patient_id"])
    rows = np.argsort(patients, kind="stable")
    first = np.unique(patients[rows], return_index=True)[1]
    taught = np.zeros(len(cohort), dtype=bool)
    if cohort.revision == learned_from.revision and _has_learned(trained.training):
        taught = (cohort.frame["split"] == "train").to_numpy()
    if settings.bundle is not None and trained.training.origin != "cohort":
        taught = taught | settings.bundle.seen(cohort.pixels)
    return Searched(
        cohort,
        rows,
        patients[rows],
        cohort.frame["patient_id"].to_numpy()[rows][first],
        np.bincount(patients),
        np.logical_or.reduceat(taught[rows], first),
        vectors[rows],
    )


def _has_learned(training: TrainingInfo) -> bool:
    """Whether the weights hold anything of the train split: not where the start was kept, or nothing was seen."""
    return training.images_seen > 0 and not training.kept_start


def _maxima(
    trained: Trained, left: Searched, right: Searched, what: str, progress: Progress
) -> Iterator[tuple[int, NDArray[np.floating[Any]]]]:
    score = partial(_score_rows, trained, left.vectors, right.vectors)
    with progress.task(what, len(left.images)) as advance:
        for first, maxima in metrics.patient_pair_maxima(score, left.patients, right.patients):
            yield first, maxima
            advance(len(maxima))


def _score_rows(
    trained: Trained, left: NDArray[np.float32], right: NDArray[np.float32], rows: slice
) -> NDArray[np.float32]:
    return trained.score_block(left[rows], right)


def _impostors(sides: Sequence[Searched], trained: Trained, progress: Progress) -> _Impostors:
    """All pairs of two patients within a dataset, but for those on both of whom the attacker has learned.

    It has learned to tell those apart: how alike others look they don't tell.
    """
    parts: list[tuple[NDArray[Any], ...]] = []
    for side in {part.cohort.revision: part for part in sides}.values():
        some = _drawn(side)
        for first, maxima in _maxima(trained, some, some, f"impostor pairs of {side.cohort.name}", progress):
            row, column = np.nonzero(np.arange(len(some.images))[None] > first + np.arange(len(maxima))[:, None])
            taught = some.trained_on[first + row].astype(np.int64) + some.trained_on[column]
            pairs = some.images[first + row] * some.images[column]
            kept = taught < 2
            parts.append((maxima[row, column][kept], pairs[kept], taught[kept]))
    if not sum(len(part[0]) for part in parts):
        raise ReidbenchError(
            "no two patients are known to be different, beside those that the attacker learned on: false positives "
            "cannot be counted"
        )
    scores, pairs, taught = (np.concatenate([part[i] for part in parts]) for i in range(3))
    return _Impostors(scores.astype(np.float64), pairs, taught)


def _drawn(side: Searched) -> Searched:
    """The dataset with no more patients than make a bearable number of pairs."""
    if len(side.images) <= IMPOSTOR_PATIENTS:
        return side
    drawn = np.sort(np.random.default_rng(_SEED).choice(len(side.images), IMPOSTOR_PATIENTS, replace=False))
    kept = np.isin(side.patients, drawn)
    return replace(
        side,
        rows=side.rows[kept],
        patients=np.searchsorted(drawn, side.patients[kept]),
        names=side.names[drawn],
        images=side.images[drawn],
        trained_on=side.trained_on[drawn],
        vectors=side.vectors[kept],
    )


def _calibrated(known: _Impostors, a: Searched, b: Searched) -> metrics.FalseMatches:
    """Known impostor pairs, weighed so that their kinds come as often as among the pairs that are searched.

    A kind is whether the attacker learned on one of the two patients, and in which group the number of their image
    pairs lies: more images, more chances of a high score.
    """
    scores, kinds, searched = [], [], []
    groups = 0
    for taught in (0, 1):
        sizes, counts = _searched_sizes(a, b, taught)
        if not len(sizes):
            continue
        mine = known.trained_on == taught
        if not mine.any():
            raise ReidbenchError("too few patients are known to be different: false positives cannot be counted")
        pairs = known.image_pairs[mine]
        edges = np.unique(np.quantile(pairs, np.arange(1, SIZE_GROUPS) / SIZE_GROUPS, method="nearest"))
        edges = edges[edges < pairs.max()]
        scores.append(known.scores[mine])
        kinds.append(groups + np.searchsorted(edges, pairs))
        searched.append(np.bincount(np.searchsorted(edges, sizes), weights=counts, minlength=len(edges) + 1))
        groups += len(edges) + 1
    return metrics.FalseMatches.calibrate(np.concatenate(scores), np.concatenate(kinds), np.concatenate(searched))


def _searched_sizes(a: Searched, b: Searched, taught: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Numbers of image pairs that patient pairs of two datasets have, and how many patient pairs have so many."""
    sizes, counts = [], []
    for of_a in (False, True):
        for of_b in (False, True):
            if of_a + of_b == taught:
                (size_a, count_a), (size_b, count_b) = (
                    np.unique(side.images[side.trained_on == flag], return_counts=True)
                    for side, flag in ((a, of_a), (b, of_b))
                )
                sizes.append(np.multiply.outer(size_a, size_b).ravel())
                counts.append(np.multiply.outer(count_a, count_b).ravel())
    return np.concatenate(sizes), np.concatenate(counts)


def _ranked(
    sides: Sequence[Searched], trained: Trained, known: _Impostors, top: int, progress: Progress
) -> tuple[pd.DataFrame, NDArray[np.int64]]:
    """The table of the best candidates, and the rows of their best images."""
    a, b = sides
    columns = len(b.images)
    scores, pairs = np.empty(0), np.empty(0, dtype=np.int64)
    for first, maxima in _maxima(trained, a, b, f"{a.cohort.name} against {b.cohort.name}", progress):
        scores = np.concatenate([scores, maxima.ravel()])
        pairs = np.concatenate([pairs, np.arange(maxima.size) + first * columns])
        # Between equal scores the earlier pair stays: what is reported may not depend on the blocks.
        best = np.argsort(-scores, kind="stable")[:top]
        scores, pairs = scores[best], pairs[best]
    of_a, of_b = np.divmod(pairs, columns)
    calibrated = _calibrated(known, a, b)
    expected = calibrated.expected(scores)
    compared = len(a.images) * columns
    best_images, means = _best_images(trained.attacker, a, b, of_a, of_b)
    table = pd.DataFrame(
        {
            "rank": np.arange(1, len(scores) + 1),
            "patient_a": a.names[of_a],
            "patient_b": b.names[of_b],
            "images_a": a.images[of_a],
            "images_b": b.images[of_b],
            "image_a": a.cohort.frame["image_id"].to_numpy()[best_images[:, 0]],
            "image_b": b.cohort.frame["image_id"].to_numpy()[best_images[:, 1]],
            "score": scores,
            "mean_score": means,
            "false_positive_rate": expected / compared,
            "expected_false": expected,
            "q_value": metrics.q_values(expected),
            "trained_on": a.trained_on[of_a] | b.trained_on[of_b],
            "known_above": _known_above(calibrated, scores),
        }
    )
    return table, best_images


def _known_above(calibrated: metrics.FalseMatches, scores: NDArray[np.float64]) -> NDArray[np.int64]:
    """How many known impostor pairs reach each score, of the kinds that are searched: others weigh nothing."""
    counted = np.sort(calibrated.scores[np.diff(calibrated.counted) > 0])
    return np.asarray(len(counted) - np.searchsorted(counted, scores, side="left"), dtype=np.int64)


def _best_images(
    attacker: Attacker, a: Searched, b: Searched, of_a: NDArray[np.int64], of_b: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Cohort rows of the best image pair of each candidate (K, 2), and the mean score of all its image pairs (K,)."""
    rows, means = np.empty((len(of_a), 2), dtype=np.int64), np.empty(len(of_a))
    first_a, first_b = (np.cumsum(side.images) - side.images for side in (a, b))
    for number, (i, j) in enumerate(zip(of_a, of_b)):
        mine = slice(first_a[i], first_a[i] + a.images[i]), slice(first_b[j], first_b[j] + b.images[j])
        scores = attacker.score_block(a.vectors[mine[0]], b.vectors[mine[1]])
        row, column = np.unravel_index(int(scores.argmax()), scores.shape)
        rows[number] = a.rows[mine[0]][row], b.rows[mine[1]][column]
        means[number] = scores.mean()
    return rows, means


@dataclass(frozen=True)
class Recovered:
    """Of patients that are known to be shared, how many a cut of the table finds.

    Attributes:
        q_value: the cut: candidates with at most this.
        candidates: how many these are.
        right: how many of them are known to be shared.
        known: how many are known in all.
    """

    q_value: float
    candidates: int
    right: int
    known: int

    @property
    def precision(self) -> float | None:
        """Share of the candidates that are known to be shared; None without any."""
        return self.right / self.candidates if self.candidates else None

    @property
    def recall(self) -> float:
        """Share of the known ones that are found."""
        return self.right / self.known


def recovered(found: Overlap, known: frozenset[tuple[str, str]], q_value: float) -> Recovered:
    """Counts the known pairs of (patient of A, patient of B) among the candidates up to a q-value."""
    chosen = found.table[found.table["q_value"] <= q_value]
    pairs = zip(chosen["patient_a"].astype(str), chosen["patient_b"].astype(str))
    return Recovered(q_value, len(chosen), sum(pair in known for pair in pairs), len(known))


def read_known(path: Path) -> frozenset[tuple[str, str]]:
    """Reads a CSV of patients known to be shared, with the columns ``patient_a`` and ``patient_b``.

    Raises:
        ReidbenchError: the file or a column is missing, or there is no row.
    """
    try:
        table = pd.read_csv(path, dtype=str)
    except (OSError, ValueError) as error:
        raise ReidbenchError(f"--known {path}: cannot be read: {error}") from error
    if not {"patient_a", "patient_b"} <= set(table.columns):
        raise ReidbenchError(f"--known {path}: the columns patient_a and patient_b are needed")
    if table.empty:
        raise ReidbenchError(f"--known {path}: there is no pair in it")
    return frozenset(zip(table["patient_a"], table["patient_b"]))


def require_known(known: frozenset[tuple[str, str]], found: Sequence[Cohort]) -> None:
    """Refuses a known pair whose patients are not in the datasets.

    Raises:
        ReidbenchError: naming the first patient that is missing.
    """
    for side, cohort in enumerate(found):
        there = set(cohort.frame["patient_id"].astype(str))
        missing = sorted(pair[side] for pair in known if pair[side] not in there)
        if missing:
            raise ReidbenchError(f"--known: patient {missing[0]!r} is not in {cohort.name} ({'AB'[side]})")
