"""Scores of a gallery revised by its neighbourhoods: k-reciprocal re-ranking, and database augmentation with query
expansion.

Nothing is trained: published images that are alike tell of each other, and no score of two images alone knows it.
A probe is scored as if its own image were not in the gallery at all, neither as a neighbour nor as what another image's
neighbours are counted against: in ``original-released`` the release of the very image that is held would be the way to
the patient's other images, and in ``released-released`` the probe would be its own. Changing or removing that row of
the gallery leaves the probe's revised scores as they are. Images of which a patient has copies are nobody's neighbours,
for the same reason; they are scored as all others.

Neighbours are the k nearest whose score exceeds a limit that only a stated share of impostor pairs exceeds, so that a
patient of few images gets few. A list ends before a tie that would leave its end to the order of the file, and equal
images of the gallery get equal scores, so that a tie stays one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from reidbench.metrics.retrieval.ranking import BLOCK_SCORES

Scores = NDArray[np.floating[Any]]
Rows = NDArray[np.intp]


class Searched(Protocol):
    """Scores of N probes and the N images of a gallery; row i of both shows one image."""

    @property
    def images(self) -> int:
        """N."""
        ...

    def block(self, rows: slice) -> Scores:
        """Scores of these probes against the gallery, (B, N), higher = more likely one patient."""
        ...

    def among(self, rows: Rows) -> Scores:
        """Scores of these images of the gallery against the gallery, (B, N)."""
        ...

    def merged(self, rows: Rows, columns: Rows) -> Scores:
        """Scores of sets of probes (Q, m) against sets of images of the gallery (G, m) by their means, (Q, G)."""
        ...

    def twins(self) -> Rows:
        """(N,) a number for each image of the gallery, equal for images that no score tells apart."""
        ...


@dataclass(frozen=True)
class Reciprocal:
    """k-reciprocal re-ranking (Zhong et al., CVPR 2017), without its expansion of the reciprocal sets.

    An image is described by its k-reciprocal neighbours, averaged over its nearest images (local query expansion). Two
    images are as alike as their descriptions, by the Jaccard index Σ uv / Σ (u + v − uv), which for sets is the share
    that both have of what either has.

    Attributes:
        near: k₁, the length of the lists that must hold each other.
        expand: k₂, over how many neighbours descriptions are averaged.
        weight: of the score itself beside the Jaccard index, in standard deviations of validation pairs.
        impostors: the share of impostor pairs of validation patients that pass for neighbours.
    """

    near: int
    expand: int
    weight: float
    impostors: float


@dataclass(frozen=True)
class Expansion:
    """Database augmentation and query expansion (Arandjelović and Zisserman, CVPR 2012), on scores.

    Attributes:
        database: each image of the gallery is scored by the mean over itself and so many neighbours.
        query: each probe by the mean over itself and so many images that it finds.
        impostors: the share of impostor pairs of validation patients that pass for neighbours.
    """

    database: int
    query: int
    impostors: float


Method = Reciprocal | Expansion


@dataclass(frozen=True)
class Limits:
    """What a score must exceed to make a neighbour.

    Attributes:
        held: a probe's score with an image of the gallery.
        published: that of two images of the gallery.
    """

    held: float = -np.inf
    published: float = -np.inf


def longest(method: Method) -> int:
    """The longest list of neighbours that a method takes of the gallery."""
    return max(method.near, method.expand) if isinstance(method, Reciprocal) else method.database


class Lists:
    """The nearest images of each image of a gallery.

    Args:
        searched: the gallery.
        most: length of the longest list that will be asked for.
        copied: (N,) which images are copies of one picture, and so nobody's neighbours; None where none is.
    """

    def __init__(self, searched: Searched, most: int, copied: NDArray[np.bool_] | None = None) -> None:
        count = searched.images
        kept = min(most + 2, max(count - 1, 0))
        # Two more than the list: one that takes the place of an image left out, one to tell whether that one is tied.
        self.scores = np.full((count, most + 2), -np.inf, dtype=np.float32)
        self.images = np.zeros((count, most + 2), dtype=np.intp)
        step = max(1, BLOCK_SCORES // max(1, count))
        for begin in range(0, count, step):
            rows = np.arange(begin, min(begin + step, count))
            scores = np.array(searched.among(rows), dtype=np.float32)
            scores[np.arange(len(rows)), rows] = -np.inf
            if copied is not None:
                scores[:, copied] = -np.inf
            if not kept:
                continue
            found = np.argpartition(scores, count - kept, axis=1)[:, count - kept :]
            values = np.take_along_axis(scores, found, axis=1)
            order = np.argsort(-values, axis=1, kind="stable")
            self.images[rows, :kept] = np.take_along_axis(found, order, axis=1)
            self.scores[rows, :kept] = np.take_along_axis(values, order, axis=1)

    def nearest(self, length: int, limit: float) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which of :attr:`images` are on each list of this length, and which follow if one of them is left out."""
        following = self.scores[:, length : length + 1]
        member = self.scores > following
        tied = following == self.scores[:, length + 1 : length + 2]
        spare = (self.scores == following) & ~tied
        above = self.scores > limit
        return member & above, spare & above


class _Means:
    """Means over each image of the gallery and its nearest, without the image that a probe shows."""

    def __init__(self, lists: Lists, length: int, limit: float) -> None:
        count = len(lists.images)
        member, spare = lists.nearest(length, limit)
        own = np.arange(count)[:, None]
        weights = 1.0 / (1 + member.sum(axis=1))
        rows, columns = np.nonzero(member)
        self._matrix = sparse.csr_array(
            (
                np.concatenate([weights, weights[rows]]),
                (np.concatenate([own[:, 0], rows]), np.concatenate([own[:, 0], lists.images[rows, columns]])),
            ),
            shape=(count, count),
        )
        # Images by the probe whose own image is on their list, or would follow there.
        image, place = np.nonzero(member | spare)
        order = np.argsort(lists.images[image, place], kind="stable")
        self._image, self._probe = image[order], lists.images[image, place][order]
        self._nearest = np.concatenate([own, lists.images], axis=1)
        self._counts = np.concatenate([np.ones((count, 1), dtype=np.bool_), member | spare], axis=1)

    def __call__(self, values: Scores, rows: slice) -> Scores:
        """(B, N) values of these probes to their means (B, N)."""
        means = np.ascontiguousarray((self._matrix @ values.T).T)
        part = slice(*np.searchsorted(self._probe, [rows.start, rows.stop]))
        image, probe = self._image[part], self._probe[part]
        nearest = self._nearest[image]
        counts = self._counts[image] & (nearest != probe[:, None])
        line = probe - rows.start
        sums = (values[line[:, None], nearest] * counts).sum(axis=1)
        means[line, image] = sums / counts.sum(axis=1)
        return means


class _Descriptions:
    """k-reciprocal neighbours of each image of the gallery, itself among them, without the image a probe shows."""

    def __init__(self, lists: Lists, length: int, limit: float) -> None:
        count = len(lists.images)
        member, spare = lists.nearest(length, limit)
        rows, columns = np.nonzero(member)
        on_list = sparse.csr_array((np.ones(len(rows)), (rows, lists.images[rows, columns])), shape=(count, count))
        self.matrix = sparse.csr_array(on_list * on_list.T + sparse.eye_array(count))
        self.sizes: Scores = np.asarray(self.matrix.sum(axis=1)).ravel()
        self._lists, self._member, self._spare = lists, member, spare
        self._new = self._without()
        # What a probe must exceed to be on an image's list, where its own image is not there and where it is.
        last, following = lists.scores[:, length - 1], lists.scores[:, length]
        self._least, self._next = np.maximum(last, limit), np.maximum(following, limit)
        image, place = np.nonzero(lists.scores >= last[:, None])
        found = np.isfinite(lists.scores[image, place])
        image, probe = image[found], lists.images[image, place][found]
        order = np.argsort(probe, kind="stable")
        self._raised_image, self._raised_probe = image[order], probe[order]

    def _without(self) -> NDArray[np.intp]:
        """Rows (probe, image, image), by probe: who become reciprocal once the probe's own image is left out."""
        images, member, spare = self._lists.images, self._member, self._spare
        present = member | spare
        follows: dict[int, set[int]] = {}
        found: set[tuple[int, int, int]] = set()
        has_spare = np.flatnonzero(spare.any(axis=1))
        lists = {int(row): set(images[row, member[row]].tolist()) for row in range(len(images))}
        for row in has_spare.tolist():
            follows[row] = set(images[row, spare[row]].tolist())
        for row in has_spare.tolist():
            left_out = images[row, present[row]].tolist()
            for new in follows[row]:
                # The way back is there already, or it opens with the same image left out.
                back = row in lists[new]
                opens = row in follows.get(new, ())
                if not back and not opens:
                    continue
                other = lists[new] | follows.get(new, set())
                for probe in left_out:
                    if probe != new and ((back and probe != row) or (opens and probe in other)):
                        found |= {(probe, row, new), (probe, new, row)}
        return np.array(sorted(found), dtype=np.intp).reshape(-1, 3)

    def new(self, rows: slice) -> tuple[Rows, Rows, Rows]:
        """Line of the block, and both images, of what :meth:`_without` found for these probes."""
        part = self._new[slice(*np.searchsorted(self._new[:, 0], [rows.start, rows.stop]))]
        return part[:, 0] - rows.start, part[:, 1], part[:, 2]

    def reached(self, scores: Scores, rows: slice) -> NDArray[np.bool_]:
        """(B, N) whether a probe would be on an image's list."""
        on_list: NDArray[np.bool_] = scores > self._least
        part = slice(*np.searchsorted(self._raised_probe, [rows.start, rows.stop]))
        line, image = self._raised_probe[part] - rows.start, self._raised_image[part]
        on_list[line, image] = scores[line, image] > self._next[image]
        return on_list


def _found(scores: Scores, lengths: Sequence[int], limit: float) -> list[NDArray[np.bool_]]:
    """(B, N) for each length which images each probe finds first: so many, cut before a tie at the list's end."""
    count = scores.shape[1]
    inside = [length for length in lengths if length < count]
    ordered = np.partition(-scores, inside, axis=1) if inside else scores
    ends = [-ordered[:, length, None] if length < count else -np.inf for length in lengths]
    return [scores > np.maximum(end, limit) for end in ends]


class Revised:
    """A gallery's scores revised.

    Args:
        searched: the scores to start from.
        method: how they are revised.
        limits: what a score must exceed to make a neighbour.
        scale: centre and one over the spread of scores, by which `Reciprocal` adds them to its index.
        lists: of the gallery, if they are known; at least as long as the method's.
        copied: as :class:`Lists` has it.
    """

    def __init__(
        self,
        searched: Searched,
        method: Method,
        limits: Limits,
        scale: tuple[float, float],
        lists: Lists | None = None,
        copied: NDArray[np.bool_] | None = None,
    ) -> None:
        self._searched, self._method, self._limits, self._scale = searched, method, limits, scale
        self._copied = copied
        lists = lists or Lists(searched, longest(method), copied)
        if isinstance(method, Reciprocal):
            self._described = _Descriptions(lists, method.near, limits.published)
            self._mean = _Means(lists, method.expand, limits.published)
            self._revise: Callable[[Scores, slice], Scores] = self._reciprocal
        else:
            self._mean = _Means(lists, method.database, limits.published)
            self._revise = self._expanded
        self._twins = _Twins(searched.twins())

    def block(self, rows: slice) -> NDArray[np.float32]:
        """Revised scores of these probes, (B, N); a probe's own column means nothing."""
        rows = slice(*rows.indices(self._searched.images)[:2])
        parts = [np.empty((0, self._searched.images), dtype=np.float32)]
        # Half a dozen arrays of double precision are held at once.
        step = max(1, BLOCK_SCORES // 4 // max(1, self._searched.images))
        for begin in range(rows.start, rows.stop, step):
            part = slice(begin, min(begin + step, rows.stop))
            scores = np.array(self._searched.block(part), dtype=np.float64)
            own = np.arange(part.start, part.stop)
            line = np.arange(len(own))
            before = scores[line, own].copy()
            revised = self._revise(scores, part).astype(np.float32)
            revised[line, own] = before
            parts.append(self._twins.tie(revised, part))
        return np.concatenate(parts)

    def _reciprocal(self, scores: Scores, rows: slice) -> Scores:
        method = self._method
        assert isinstance(method, Reciprocal)
        line, own = np.arange(len(scores)), np.arange(rows.start, rows.stop)
        centre, weight = self._scale
        plain = (scores - centre) * weight
        scores[line, own] = -np.inf
        if self._copied is not None:
            scores[:, self._copied] = -np.inf
        described, matrix = self._described, self._described.matrix
        near, found = _found(scores, (method.near, method.expand), self._limits.held)
        mutual = (near & described.reached(scores, rows)).astype(np.float64)
        nearest = found.astype(np.float64)
        opened, image, other = described.new(rows)
        # The probe's own description, averaged with those of the images it finds; and itself as one of the described.
        query = mutual + (sparse.csr_array(nearest) @ matrix).toarray()
        np.add.at(query, (opened, other), nearest[opened, image])
        query[line, own] = 0.0
        itself = 1.0 + (nearest * mutual).sum(axis=1)
        among = 1.0 + nearest.sum(axis=1)
        query /= among[:, None]
        itself /= among
        common = (sparse.csr_array(query) @ matrix).toarray()
        np.add.at(common, (opened, image), query[opened, other])
        common += mutual * itself[:, None]
        sizes = described.sizes - matrix[own].toarray() + mutual
        np.add.at(sizes, (opened, image), 1.0)
        both, size = self._mean(common, rows), self._mean(sizes, rows)
        return both / (query.sum(axis=1)[:, None] + itself[:, None] + size - both) + method.weight * plain

    def _expanded(self, scores: Scores, rows: slice) -> Scores:
        method = self._method
        assert isinstance(method, Expansion)
        line, own = np.arange(len(scores)), np.arange(rows.start, rows.stop)
        without = scores.copy()
        without[line, own] = -np.inf
        if self._copied is not None:
            without[:, self._copied] = -np.inf
        (nearest,) = _found(without, (method.query,), self._limits.held)
        asked = np.flatnonzero(nearest.any(axis=0))
        if len(asked):
            found = sparse.csr_array(nearest[:, asked].astype(np.float64))
            scores = (scores + found @ self._searched.among(asked)) / (1.0 + nearest.sum(axis=1))[:, None]
        return self._mean(scores, rows)


class _Twins:
    """Equal images of a gallery: their scores are equal but for the order of a sum, and are made so to the bit."""

    def __init__(self, twins: Rows) -> None:
        order = np.argsort(twins, kind="stable")
        new = np.ones(len(order), dtype=np.bool_)
        new[1:] = twins[order][1:] != twins[order][:-1]
        begins = np.flatnonzero(new)
        group = np.cumsum(new) - 1
        self._first, self._second = np.arange(len(twins)), np.arange(len(twins))
        self._first[order] = order[begins[group]]
        self._second[order] = order[np.minimum(begins[group] + 1, np.append(begins[1:], len(order))[group] - 1)]
        self._any = len(begins) < len(order)

    def tie(self, scores: NDArray[np.float32], rows: slice) -> NDArray[np.float32]:
        """The scores (B, N), with those of equal images taken from the first of them that is not the probe's own."""
        if not self._any:
            return scores
        tied = scores[:, self._first]
        own = np.arange(rows.start, rows.stop)
        # Where the first of a group is the probe's own image, the second speaks for the group.
        for line in np.flatnonzero(self._first[own] == own):
            group = np.flatnonzero(self._first == own[line])
            tied[line, group] = scores[line, self._second[group]]
        return tied
