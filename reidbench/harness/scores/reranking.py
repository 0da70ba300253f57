"""Scores of attackers on one rung revised by the neighbourhoods of the gallery, as validation patients choose."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from reidbench import metrics
from reidbench.cohorts.pairing.image_pairs import Pairs
from reidbench.harness.scores.neighbours import Expansion, Limits, Lists, Method, Reciprocal, Revised, Searched, longest
from reidbench.harness.scores.sources import Fused, Links, Scores, score_scale
from reidbench.metrics.retrieval.ranking import BLOCK_SCORES
from reidbench.records.ladder import RERANKING
from reidbench.records.schema import PostProcessing

#: Scores of all probes that are kept rather than computed again: 64 MiB in single precision.
KEPT_SCORES = 2**24
#: (N,) numbers of the test images and of the validation images, equal for copies of one picture; None where none is.
Pictures = tuple[NDArray[np.int64] | None, NDArray[np.int64] | None]


class Reranked:
    """An attacker's scores revised by the neighbourhoods of the gallery; how, and whether, validation patients decide.

    It costs no training. See :mod:`reidbench.harness.scores.neighbours` for the ways, of which the one with the highest
    mAP@R among validation images is taken; to leave the scores as they are is the first of them, and wins a tie.
    """

    name = RERANKING
    training = scale = galleries = None

    def __init__(
        self, base: Links, patients: NDArray[np.int64], pairs: Pairs, pictures: Pictures = (None, None)
    ) -> None:
        assert base.galleries is not None
        self._base = base
        self.restoration = base.restoration
        test, validation = base.galleries
        centre, weight = score_scale(base)
        chosen = _Choice(validation, patients, (float(centre), float(weight)), pictures[1])
        method = chosen.method
        self.validation = base.validation
        self._revised: Held | None = None
        if method is not None:
            judged = Held(chosen.revised(validation, method, copied=_copied(pictures[1])), validation.images)
            self.validation = judged.scores(pairs), pairs.same
            self._revised = Held(chosen.revised(test, method, copied=_copied(pictures[0])), test.images)
        self.post_processing = PostProcessing(
            base=base.name,
            method="off" if method is None else "reciprocal" if isinstance(method, Reciprocal) else "expansion",
            options={} if method is None else vars(method),
            map_at_r=chosen.found[method],
            map_at_r_off=chosen.found[None],
        )

    @classmethod
    def of(
        cls,
        members: Sequence[Links],
        patients: NDArray[np.int64],
        pairs: Pairs | None,
        pictures: Pictures = (None, None),
    ) -> Reranked | None:
        """The fused scores of those that have a gallery, revised; None where none has, or nothing can decide.

        Args:
            members: attackers on one rung.
            patients: (V,) of the validation images.
            pairs: of the validation images; None where there are none.
            pictures: of the test and the validation images.
        """
        able = [member for member in members if member.galleries is not None]
        if not able or pairs is None or not len(pairs.a):
            return None
        return cls(Fused.of(able) or able[0], patients, pairs, pictures)

    def scores(self, pairs: Pairs) -> Scores:
        """(P,)."""
        return self._base.scores(pairs) if self._revised is None else self._revised.scores(pairs)

    def block(self, rows: slice) -> Scores:
        """Probes by gallery."""
        return self._base.block(rows) if self._revised is None else self._revised.block(rows)

    def probability(self, scores: Scores) -> Scores:
        """NaN where scores are revised, which then only rank."""
        return self._base.probability(scores) if self._revised is None else np.full_like(scores, np.nan)


#: What validation patients choose from: first one of these, then how strict its limit is.
METHODS: tuple[Method, ...] = (
    *(Reciprocal(near=20, expand=expand, weight=0.1, impostors=0.003) for expand in (3, 6, 12)),
    *(Expansion(database=length, query=length, impostors=0.003) for length in (4, 8, 16)),
)
IMPOSTORS = (0.01, 0.001)


class _Choice:
    """Which way has the highest mAP@R among validation images, one after the other; to revise nothing comes first."""

    def __init__(
        self,
        searched: Searched,
        patients: NDArray[np.int64],
        scale: tuple[float, float],
        pictures: NDArray[np.int64] | None,
    ) -> None:
        self._scale = scale
        copied = _copied(pictures)
        self._lists = Lists(searched, max(map(longest, METHODS)), copied)
        kept = HeldGallery(searched, searched.images)
        count = searched.images
        # All probes, or as many as there is room for.
        rows = np.unique(np.linspace(0, count - 1, min(count, max(1, KEPT_SCORES // count))).astype(np.intp))
        other = patients[rows, None] != patients[None]
        # In the scenario of the rung, and among what is published: these are scores on other scales.
        asked = np.concatenate([kept.block(slice(row, row + 1)) for row in rows.tolist()])
        self._impostors = asked[other], searched.among(rows)[other]
        images = np.arange(len(patients))
        both = None if pictures is None else (pictures, pictures)

        def judged(block: Callable[[slice], Scores]) -> float:
            ranks = metrics.rank_queries(block, patients, patients, images, images, pictures=both)
            return float(np.mean(ranks.average_precision[ranks.asked]))

        self.method: Method | None = None
        self.found: dict[Method | None, float] = {None: judged(kept.block)}

        def tried(method: Method) -> None:
            self.found[method] = judged(self.revised(kept, method, self._lists, copied=copied).block)
            if self.found[method] > self.found[self.method]:
                self.method = method

        for method in METHODS:
            tried(method)
        if self.method is not None:
            for impostors in IMPOSTORS:
                tried(replace(self.method, impostors=impostors))

    def revised(
        self,
        searched: Searched,
        method: Method,
        lists: Lists | None = None,
        *,
        copied: NDArray[np.bool_] | None,
    ) -> Revised:
        """A gallery's scores revised in this way, with limits from the impostor pairs of validation images."""
        held, published = (float(np.quantile(scores, 1 - method.impostors)) for scores in self._impostors)
        return Revised(searched, method, Limits(held, published), self._scale, lists, copied)


class Held:
    """Scores of all probes, kept as long as they are few, for all that asks for them."""

    def __init__(self, searched: Searched | Revised | Links, images: int) -> None:
        self._searched, self._count = searched, images
        self._matrix = np.concatenate([*self._blocks()]) if images**2 <= KEPT_SCORES else None

    @property
    def images(self) -> int:
        """How many probes there are."""
        return self._count

    def block(self, rows: slice) -> Scores:
        """(B, N) of these probes."""
        return self._searched.block(rows) if self._matrix is None else self._matrix[rows]

    def rows(self, rows: NDArray[np.intp]) -> Scores:
        """(B, N) of any probes."""
        if self._matrix is not None:
            return self._matrix[rows]
        if not len(rows):
            return np.empty((0, self._count), dtype=np.float32)
        # A call for each run of successive rows: mostly a single one.
        runs = np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1)
        return np.concatenate([self._searched.block(slice(int(run[0]), int(run[-1]) + 1)) for run in runs])

    def scores(self, pairs: Pairs) -> Scores:
        """(P,) of pairs."""
        if self._matrix is not None:
            return self._matrix[pairs.a, pairs.b]
        found = np.empty(len(pairs.a), dtype=np.float32)
        for begin, block in zip(range(0, self._count, self._step), self._blocks()):
            mine = np.flatnonzero((pairs.a >= begin) & (pairs.a < begin + self._step))
            found[mine] = block[pairs.a[mine] - begin, pairs.b[mine]]
        return found

    @property
    def _step(self) -> int:
        return max(1, BLOCK_SCORES // max(1, self._count))

    def _blocks(self) -> Iterator[Scores]:
        for begin in range(0, self._count, self._step):
            yield self._searched.block(slice(begin, min(begin + self._step, self._count)))


class HeldGallery(Held):
    """The same of a gallery, whose images can be compared with each other too."""

    def __init__(self, searched: Searched, images: int) -> None:
        super().__init__(searched, images)
        self.among, self.merged, self.twins = searched.among, searched.merged, searched.twins


def together(
    members: Sequence[Links], patients: NDArray[np.int64], pairs: Pairs | None, pictures: Pictures = (None, None)
) -> list[Links]:
    """What is made of these attackers without training: their fusion, and its scores (or the one's) revised.

    Args:
        members: attackers on one rung.
        patients: (V,) of the validation images.
        pairs: of the validation images; None where there are none.
        pictures: of the test and the validation images.
    """
    fused = Fused.of(members)
    made: list[Links] = [fused] if fused else []
    revised = Reranked.of(members, patients, pairs, pictures)
    return [*made, revised] if revised else made


def _copied(pictures: NDArray[np.int64] | None) -> NDArray[np.bool_] | None:
    """(N,) whether an image is one of several copies of a picture."""
    if pictures is None:
        return None
    place, times = np.unique(pictures, return_inverse=True, return_counts=True)[1:]
    return np.asarray(times[place] > 1)
