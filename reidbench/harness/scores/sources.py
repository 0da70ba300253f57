"""Test images as an attacker on one rung links them: by itself, or several attackers by their mean score."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from reidbench.attackers.pairs import PairAttacker
from reidbench.cohorts.pairing.image_pairs import Pairs
from reidbench.harness.scores.neighbours import Rows, Searched
from reidbench.records.ladder import FUSION
from reidbench.records.parts.training import TrainingInfo
from reidbench.records.schema import PostProcessing
from reidbench.steps.attackers import Trained

Scores = NDArray[np.floating[Any]]
#: Scores and truth of pairs.
Judged = tuple[Scores, NDArray[np.bool_]]


@dataclass(frozen=True, eq=False)
class Gallery:
    """Images by their vectors, as an attacker on one rung holds and finds them.

    Attributes:
        held, published: (N, D) each; row i of both shows one image.
        score: of each of (Q, D) against each of (G, D), (Q, G).
    """

    held: NDArray[np.float32]
    published: NDArray[np.float32]
    score: Callable[[NDArray[np.float32], NDArray[np.float32]], Scores]

    @property
    def images(self) -> int:
        """N."""
        return len(self.published)

    def block(self, rows: slice) -> Scores:
        """Scores of probes, (B, N)."""
        return self.score(self.held[rows], self.published)

    def among(self, rows: Rows) -> Scores:
        """Scores of published images against each other, (B, N)."""
        return self.score(self.published[rows], self.published)

    def merged(self, rows: Rows, columns: Rows) -> Scores:
        """Scores of the mean vectors of sets of probes (Q, m) and of published images (G, m), (Q, G)."""
        held, published = (side[of].mean(axis=1) for side, of in ((self.held, rows), (self.published, columns)))
        return self.score(held, published)

    def twins(self) -> Rows:
        """(N,) equal numbers for equal vectors."""
        return _numbered(self.published)


class Links(Protocol):
    """Scores of the test images, as :mod:`reidbench.records.figures` wants them."""

    @property
    def name(self) -> str:
        """The attacker's name, for the record."""
        ...

    @property
    def training(self) -> TrainingInfo | None:
        """How the attacker was trained; None where it is made of others."""
        ...

    @property
    def restoration(self) -> TrainingInfo | None:
        """How the network was trained that undid the defense first; None where none did."""
        ...

    @property
    def validation(self) -> Judged | None:
        """Scores and truth of the validation pairs; None where there is no pair."""
        ...

    @property
    def scale(self) -> tuple[float, float] | None:
        """Mean, and one over the deviation, of scores where no validation pair tells them; None where nothing does."""
        ...

    @property
    def galleries(self) -> tuple[Searched, Searched] | None:
        """The test images and the validation images, whose neighbourhoods can be searched; None where they cannot."""
        ...

    @property
    def post_processing(self) -> PostProcessing | None:
        """How another attacker's scores were revised; None where none were."""
        ...

    def scores(self, pairs: Pairs) -> Scores:
        """(P,), higher = more likely one patient."""
        ...

    def block(self, rows: slice) -> Scores:
        """These rows of the matrix of scores, probes by gallery."""
        ...

    def probability(self, scores: Scores) -> Scores:
        """P(same patient) of scores; NaN throughout where there is none."""
        ...


@dataclass(frozen=True, eq=False)
class Linked:
    """One attacker's vectors of the test images, as held and as published.

    Attributes:
        trained: the attacker.
        held, gallery: (N, D) each.
        validation: scores and truth of the validation pairs in the same scenario.
        restoration: how the network was trained that undid the defense first; None where none did.
        scale: mean, and one over the deviation, of the scores of a bundle's own validation pairs; None where they are
            not known or the attacker is not a bundle's as it was.
        validation_vectors: of the validation images as held and as published; None where there are none.
    """

    trained: Trained
    held: NDArray[np.float32]
    gallery: NDArray[np.float32]
    validation: Judged | None
    restoration: TrainingInfo | None
    scale: tuple[float, float] | None = None
    validation_vectors: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None
    post_processing = None

    @property
    def name(self) -> str:
        """The attacker's."""
        return self.trained.attacker.name

    @property
    def training(self) -> TrainingInfo:
        """The attacker's."""
        return self.trained.training

    @property
    def galleries(self) -> tuple[Searched, Searched] | None:
        """By vectors. An attacker that scores pairs jointly has none: all N² pairs of the gallery would cost as much
        again as the attack itself."""
        if self.validation_vectors is None or isinstance(self.trained.attacker, PairAttacker):
            return None
        score = self.trained.score_block
        return Gallery(self.held, self.gallery, score), Gallery(*self.validation_vectors, score)

    def scores(self, pairs: Pairs) -> Scores:
        """The attacker's, (P,)."""
        return self.trained.score(self.held, self.gallery, pairs.a, pairs.b)

    def block(self, rows: slice) -> Scores:
        """The attacker's, probes by gallery."""
        return self.trained.score_block(self.held[rows], self.gallery)

    def probability(self, scores: Scores) -> Scores:
        """The attacker's."""
        return self.trained.attacker.probability(np.asarray(scores, dtype=np.float32))


class Fused:
    """Several attackers as one: the mean of their scores, each brought to one scale on the validation pairs.

    Attackers of a bundle that judge a cohort without validation pairs bring the scale of the bundle's own.
    Networks that were trained apart err apart, so that the mean is stronger than either. It costs no training, and no
    test pair has a say in it.
    """

    name = FUSION
    training = scale = post_processing = None

    def __init__(self, members: Sequence[Links]) -> None:
        self._members = members
        self._scales = [score_scale(member) for member in members]
        self.restoration = next((m.restoration for m in members if m.restoration is not None), None)

    @classmethod
    def of(cls, members: Sequence[Links]) -> Fused | None:
        """The fusion of these; None of fewer than two, or where no validation pair gives their scales."""
        if len(members) < 2 or any(not _judged(m) and m.scale is None for m in members):
            return None
        return cls(members)

    @property
    def validation(self) -> Judged | None:
        """Mean scores and truth of the validation pairs."""
        judged = [member.validation for member in self._members if member.validation is not None]
        if len(judged) < len(self._members):
            return None
        return self._mean([scores for scores, _ in judged]), judged[0][1]

    @property
    def galleries(self) -> tuple[Searched, Searched] | None:
        """Of the members; None where one of them has none."""
        found = [galleries for member in self._members if (galleries := member.galleries) is not None]
        if len(found) < len(self._members):
            return None
        test, validation = (_FusedGallery([one[number] for one in found], self._scales) for number in range(2))
        return test, validation

    def scores(self, pairs: Pairs) -> Scores:
        """(P,)."""
        return self._mean([member.scores(pairs) for member in self._members])

    def block(self, rows: slice) -> Scores:
        """Probes by gallery."""
        return self._mean([member.block(rows) for member in self._members])

    def probability(self, scores: Scores) -> Scores:
        """NaN: a mean of scores only ranks."""
        return np.full_like(scores, np.nan)

    def _mean(self, scores: list[Scores]) -> Scores:
        return _mean(scores, self._scales)


@dataclass(frozen=True, eq=False)
class _FusedGallery:
    members: Sequence[Searched]
    scales: Sequence[tuple[np.float32, np.float32]]

    @property
    def images(self) -> int:
        return self.members[0].images

    def block(self, rows: slice) -> Scores:
        return _mean([member.block(rows) for member in self.members], self.scales)

    def among(self, rows: Rows) -> Scores:
        return _mean([member.among(rows) for member in self.members], self.scales)

    def merged(self, rows: Rows, columns: Rows) -> Scores:
        return _mean([member.merged(rows, columns) for member in self.members], self.scales)

    def twins(self) -> Rows:
        return _numbered(np.stack([member.twins() for member in self.members], axis=1))


def _mean(scores: Sequence[Scores], scales: Sequence[tuple[np.float32, np.float32]]) -> Scores:
    total = np.zeros(scores[0].shape, dtype=np.float32)
    for values, (centre, weight) in zip(scores, scales):
        total += (np.asarray(values, dtype=np.float32) - centre) * weight
    return total / np.float32(len(scores))


def _numbered(rows: NDArray[Any]) -> Rows:
    """(N,) equal numbers for equal rows of (N, D)."""
    numbers: dict[bytes, int] = {}
    return np.array([numbers.setdefault(row.tobytes(), len(numbers)) for row in np.ascontiguousarray(rows)], np.intp)


def _judged(member: Links) -> bool:
    return member.validation is not None and len(member.validation[0]) > 0


def score_scale(member: Links) -> tuple[np.float32, np.float32]:
    """Mean, and one over the standard deviation, of an attacker's scores of validation pairs or of its bundle's."""
    # An attacker that says the same of every pair has nothing to add.
    if member.validation is None or not len(member.validation[0]):
        assert member.scale is not None
        return np.float32(member.scale[0]), np.float32(member.scale[1])
    scores = np.asarray(member.validation[0], dtype=np.float64)
    spread = 0.0 if np.ptp(scores) == 0 else float(scores.std())
    return np.float32(scores.mean()), np.float32(1 / spread if spread else 0.0)
