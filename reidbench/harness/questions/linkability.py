"""A rung's linkability: several known images, a closed world, and galleries of other sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reidbench import metrics
from reidbench.harness.scores.neighbours import Searched
from reidbench.harness.scores.reranking import Held, Pictures
from reidbench.harness.scores.sources import Links, Scores
from reidbench.metrics.linkability.closed_world import closed_world
from reidbench.metrics.linkability.gallery_size import rivals, success_by_size
from reidbench.metrics.linkability.multi_shot import Found, draw_shots, search_images, search_sets
from reidbench.records.figures import BOOTSTRAP_SEED
from reidbench.records.ladder import LINKAGE, RERANKING, Rung
from reidbench.records.parts.common import Interval
from reidbench.records.parts.linkability import (
    MOST_ASSIGNED,
    MOST_PATIENTS,
    SHOTS,
    ClosedWorld,
    GallerySize,
    Linkability,
    MultiShot,
    Pooling,
)
from reidbench.records.schema import Attack, RetrievalMetrics

#: Images that are searched; beyond the cohort success is extrapolated.
SIZES = (100, 1_000, 10_000, 100_000)
#: Of the images that are known, the same for every defense, seed and preset on a cohort.
SHOT_SEED = 41
#: Scores that are kept of images that several sets have in common: 0.8 GB of float32, for the largest public test part.
MOST_PREPARED = 200_000_000
PREPARED_AT_ONCE = 256
#: Digits of a figure in the record.
DIGITS = 4

Rows = NDArray[np.intp]


def strongest_links(linked: Mapping[Rung, Sequence[Links]], attacks: Sequence[Attack]) -> list[tuple[Rung, Links]]:
    """Of each linkage, the rung and the attacker (or the fusion) with the highest mAP@R.

    Revised scores have no part in it: they are made for single probes in a gallery as it is.
    """
    found = []
    for linkage in LINKAGE:
        ranked = [
            (attack.metrics.map_at_r_patients.value or 0.0, attack)
            for attack in attacks
            if isinstance(attack.metrics, RetrievalMetrics)
            and attack.linkage == linkage
            and attack.attacker != RERANKING
        ]
        if ranked:
            _, best = max(ranked, key=lambda one: one[0])
            rung = Rung(best.knowledge, linkage)
            found += [(rung, links) for links in linked[rung] if links.name == best.attacker]
    return found


def judge_linkability(
    links: Links,
    rung: Rung,
    patients: NDArray[np.int64],
    validation: NDArray[np.int64],
    pictures: Pictures = (None, None),
    *,
    runs: int,
) -> Linkability:
    """The figures of a rung beside its attacks.

    Args:
        links: the rung's scores.
        patients: (N,) of the test images.
        validation: (V,) of the validation images, which choose how scores are pooled.
        pictures: of the test and the validation images; of copies of one picture the first alone is used.
        runs: bootstrap resamplings.
    """
    galleries = links.galleries
    rows = first_pictures(pictures[0], len(patients))
    pooled = _Pooled(Held(links, len(patients)), galleries[0] if galleries else None, rows)
    patients = patients[rows]
    way: Pooling = "mean score"
    if galleries is not None:
        kept = first_pictures(pictures[1], galleries[1].images)
        way = _choose(_Pooled(Held(galleries[1], galleries[1].images), galleries[1], kept), validation[kept])
    return Linkability(
        attacker=links.name,
        knowledge=rung.knowledge,
        linkage=rung.linkage,
        multi_shot=_multi_shot(pooled, way, patients, runs),
        closed_world=_closed_world(pooled, patients, runs),
        gallery_sizes=[
            GallerySize(
                gallery=one.gallery,
                precision_at_1=short_interval(one.precision_at_1),
                patients_found=short_interval(one.patients_found) if one.patients_found else None,
                extrapolated=one.extrapolated,
            )
            for one in success_by_size(rivals(pooled.block, patients), SIZES, runs=runs, seed=BOOTSTRAP_SEED)
        ],
    )


def first_pictures(pictures: NDArray[np.int64] | None, images: int) -> Rows:
    """The rows of images without copies of others."""
    if pictures is None:
        return np.arange(images)
    return np.sort(np.unique(pictures, return_index=True)[1])


class _Pooled:
    """Scores of sets of images, put together from those of single ones, or from the mean of their vectors.

    Args:
        held: scores of all images.
        searched: their vectors; None where there are none.
        kept: (N,) the rows of all images that are used; rows and columns below count these.
    """

    def __init__(self, held: Held, searched: Searched | None, kept: Rows) -> None:
        self._held, self._searched, self._kept = held, searched, kept
        self._made: tuple[Rows, Scores] | None = None
        self.ways: tuple[Pooling, ...] = ("mean score", "maximum", *(("mean vector",) if searched else ()))

    def block(self, rows: slice) -> Scores:
        """(B, N) of single images."""
        return self._held.rows(self._kept[rows])[:, self._kept]

    def prepare(self, way: Pooling, rows: Rows) -> None:
        """Has the scores of these images made once, in place of once for each set that an image is in, if they fit."""
        self._made = None
        wanted, count = np.unique(rows), len(self._kept)
        if way == "mean vector" or not 0 < len(wanted) * count <= MOST_PREPARED:
            return
        made = np.empty((len(wanted), count), dtype=self._singles(wanted[:1]).dtype)
        for begin in range(0, len(wanted), PREPARED_AT_ONCE):
            part = slice(begin, begin + PREPARED_AT_ONCE)
            made[part] = self._singles(wanted[part])
        self._made = wanted, made

    def _singles(self, rows: Rows) -> Scores:
        if self._made is not None:
            wanted, made = self._made
            place = np.searchsorted(wanted, rows).clip(max=len(wanted) - 1)
            if np.array_equal(wanted[place], rows):
                return made[place]
        return self._held.rows(self._kept[rows])[:, self._kept]

    def images(self, way: Pooling, rows: Rows) -> Scores:
        """(Q, m) known images against every published one, (Q, N)."""
        if way == "mean vector":
            assert self._searched is not None
            return self._searched.merged(self._kept[rows], self._kept[:, None])
        single = self._singles(rows.ravel()).reshape(*rows.shape, -1)
        return np.asarray(single.mean(axis=1) if way == "mean score" else single.max(axis=1))

    def sets(self, way: Pooling, rows: Rows, columns: Rows) -> Scores:
        """(Q, m) known images against (G, m) published ones, (Q, G)."""
        if way == "mean vector":
            assert self._searched is not None
            return self._searched.merged(self._kept[rows], self._kept[columns])
        each = self.images(way, rows)[:, columns]
        return np.asarray(each.mean(axis=2) if way == "mean score" else each.max(axis=2))


def _multi_shot(pooled: _Pooled, way: Pooling, patients: NDArray[np.int64], runs: int) -> MultiShot | None:
    shots = draw_shots(patients, most=max(SHOTS), seed=SHOT_SEED, patients_at_most=MOST_PATIENTS)
    if not len(shots.patients):
        return None
    sets = draw_shots(patients, most=max(SHOTS), sets=True, seed=SHOT_SEED, patients_at_most=MOST_PATIENTS)
    pooled.prepare(way, shots.known)
    found = {m: search_images(lambda rows: pooled.images(way, rows), patients, shots, m) for m in SHOTS}
    pooled.prepare(way, sets.known)
    among = {m: search_sets(lambda rows, columns: pooled.sets(way, rows, columns), sets, m) for m in SHOTS}
    return MultiShot(
        pooling=way,
        patients=len(np.unique(shots.patients)),
        map_at_r={str(m): _mean(one.average_precision, one, False, runs) for m, one in found.items()},
        precision_at_1={str(m): _mean(one.precision_at_1, one, True, runs) for m, one in found.items()},
        set_patients=len(np.unique(sets.patients)),
        set_precision_at_1={str(m): _mean(one.precision_at_1, one, True, runs) for m, one in among.items()},
    )


def _choose(pooled: _Pooled, validation: NDArray[np.int64]) -> Pooling:
    """The way with the highest mAP@R on validation patients, with as many known images as some of them have."""
    for m in sorted(SHOTS, reverse=True):
        shots = draw_shots(validation, most=m, left=1, seed=SHOT_SEED, patients_at_most=MOST_PATIENTS)
        if m > 1 and len(shots.patients):
            found = {way: _map_at_r(pooled, way, validation, shots, m) for way in pooled.ways}
            return max(found, key=lambda way: found[way])
    return pooled.ways[0]


def _map_at_r(pooled: _Pooled, way: Pooling, patients: NDArray[np.int64], shots: Any, m: int) -> float:
    found = search_images(lambda rows: pooled.images(way, rows), patients, shots, m)
    return float(found.average_precision.mean())


def _closed_world(pooled: _Pooled, patients: NDArray[np.int64], runs: int) -> ClosedWorld | None:
    def scores(rows: Rows, columns: Rows) -> Scores:
        return pooled.images("mean score", rows[:, None])[:, columns]

    found = closed_world(scores, patients, seed=SHOT_SEED, most=MOST_ASSIGNED)
    asked = len(np.unique(found.patients))
    if asked < 2:
        return None
    correct = metrics.bootstrap_mean_patients(
        found.correct, found.patients, each="patient", share=True, runs=runs, seed=BOOTSTRAP_SEED
    )
    return ClosedWorld(
        patients=asked, correct=short_interval(correct), chance=round(float(found.chance.mean()), DIGITS + 2)
    )


def _mean(values: NDArray[np.float64], found: Found, share: bool, runs: int) -> Interval:
    shared: dict[str, Any] = {"each": "patient", "runs": runs, "seed": BOOTSTRAP_SEED}
    return short_interval(metrics.bootstrap_mean_patients(values, found.patients, share=share, **shared))


def short_interval(found: metrics.Interval) -> Interval:
    """An interval with few digits: a record has dozens of them."""
    value, low, high = (round(one, DIGITS) for one in (found.value, found.low, found.high))
    return Interval(value=value, low=low, high=high, why_unbounded=found.why_unbounded)
