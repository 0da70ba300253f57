"""Test images as an attacker on one rung links them: by itself, or several attackers by their mean score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from reidbench.cohorts.pairing.pairs import Pairs
from reidbench.records.ladder import FUSION
from reidbench.records.schema import TrainingInfo
from reidbench.steps.attackers import Trained

Scores = NDArray[np.floating[Any]]
#: Scores and truth of pairs.
Judged = tuple[Scores, NDArray[np.bool_]]


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
    """

    trained: Trained
    held: NDArray[np.float32]
    gallery: NDArray[np.float32]
    validation: Judged | None
    restoration: TrainingInfo | None
    scale: tuple[float, float] | None = None

    @property
    def name(self) -> str:
        """The attacker's."""
        return self.trained.attacker.name

    @property
    def training(self) -> TrainingInfo:
        """The attacker's."""
        return self.trained.training

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
    training = None

    def __init__(self, members: Sequence[Linked]) -> None:
        self._members = members
        self._scales = [_scale(member) for member in members]
        self.restoration = next((m.restoration for m in members if m.restoration is not None), None)

    @classmethod
    def of(cls, members: Sequence[Linked]) -> Fused | None:
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
        total = np.zeros(scores[0].shape, dtype=np.float32)
        for values, (centre, weight) in zip(scores, self._scales):
            total += (np.asarray(values, dtype=np.float32) - centre) * weight
        return total / np.float32(len(scores))


def _judged(member: Linked) -> bool:
    return member.validation is not None and len(member.validation[0]) > 0


def _scale(member: Linked) -> tuple[np.float32, np.float32]:
    # Mean, and one over the standard deviation. An attacker that says the same of every pair has nothing to add.
    if member.validation is None or not len(member.validation[0]):
        assert member.scale is not None
        return np.float32(member.scale[0]), np.float32(member.scale[1])
    scores = np.asarray(member.validation[0], dtype=np.float64)
    spread = 0.0 if np.ptp(scores) == 0 else float(scores.std())
    return np.float32(scores.mean()), np.float32(1 / spread if spread else 0.0)
