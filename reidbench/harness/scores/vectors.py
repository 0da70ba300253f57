"""Scores of published vectors: by their distance, or by a siamese head that was trained on others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from reidbench import metrics
from reidbench.attackers.siamese_network import Siamese
from reidbench.attackers.vectors import map_vectors
from reidbench.cohorts.pairing.image_pairs import Pairs
from reidbench.harness.scores.neighbours import Searched
from reidbench.harness.scores.sources import Gallery, Judged, Scores
from reidbench.records.parts.training import TrainingInfo
from reidbench.records.schema import PostProcessing
from reidbench.steps.published_model import TrainedModel

DISTANCE = "vector_distance"


@dataclass(frozen=True, eq=False)
class VectorDistance:
    """Cosine, without any training: minus the distance of unit vectors, by which equal vectors tie exactly."""

    name = DISTANCE
    training = None

    def map(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Published vectors (N, D) as the attacker compares them, (N, E)."""
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-12))

    def pairs(self, a: NDArray[np.float32], b: NDArray[np.float32]) -> Scores:
        """Scores (P,) of mapped vectors, (P, E) each."""
        return -np.linalg.norm(a - b, axis=1)

    def block(self, a: NDArray[np.float32], b: NDArray[np.float32]) -> Scores:
        """Scores (A, B) of mapped vectors, (A, E) and (B, E)."""
        return np.asarray(metrics.euclidean_scores(a, b)(slice(None)))

    def probability(self, scores: Scores) -> Scores:
        """Probabilities that pairs are of one patient; NaN where the attacker has none."""
        return np.full_like(scores, np.nan)


@dataclass(frozen=True, eq=False)
class VectorHead:
    """A siamese head on the vectors, trained on the attacker's own patients."""

    model: Siamese
    training: TrainingInfo
    device: torch.device
    name = "vector_head"

    def map(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Published vectors (N, D) as the attacker compares them, (N, E)."""
        return map_vectors(self.model, vectors, device=self.device)

    @torch.no_grad()
    def pairs(self, a: NDArray[np.float32], b: NDArray[np.float32]) -> Scores:
        """Scores (P,) of mapped vectors, (P, E) each."""
        return np.asarray(self.model.head.cpu().pairs(torch.from_numpy(a), torch.from_numpy(b)).numpy())

    @torch.no_grad()
    def block(self, a: NDArray[np.float32], b: NDArray[np.float32]) -> Scores:
        """Scores (A, B) of mapped vectors, (A, E) and (B, E)."""
        return np.asarray(self.model.head.cpu().block(torch.from_numpy(a), torch.from_numpy(b)).numpy())

    def probability(self, scores: Scores) -> Scores:
        """Probabilities that pairs are of one patient; NaN where the attacker has none."""
        return np.asarray(torch.sigmoid(torch.from_numpy(np.asarray(scores, dtype=np.float32))).numpy())


@dataclass(frozen=True, eq=False)
class LinkedVectors:
    """The test images' vectors, as one attacker compares them; see :class:`reidbench.harness.scores.sources.Links`."""

    by: VectorDistance | VectorHead
    vectors: NDArray[np.float32]
    validation_vectors: NDArray[np.float32] | None
    validation: Judged | None
    restoration: TrainingInfo | None = None
    scale: tuple[float, float] | None = None
    post_processing: PostProcessing | None = None

    @property
    def galleries(self) -> tuple[Searched, Searched] | None:
        """Test and validation vectors; None without validation pairs."""
        if self.validation_vectors is None:
            return None
        test, validation = (Gallery(one, one, self.by.block) for one in (self.vectors, self.validation_vectors))
        return test, validation

    @property
    def name(self) -> str:
        """The attacker's."""
        return self.by.name

    @property
    def training(self) -> TrainingInfo | None:
        """The attacker's; None where it takes none."""
        return self.by.training

    def scores(self, pairs: Pairs) -> Scores:
        """Scores (P,) of test pairs."""
        return self.by.pairs(self.vectors[pairs.a], self.vectors[pairs.b])

    def block(self, rows: slice) -> Scores:
        """Scores of some test images against all, (B, N)."""
        return self.by.block(self.vectors[rows], self.vectors)

    def probability(self, scores: Scores) -> Scores:
        """Probabilities that pairs are of one patient; NaN where the attacker has none."""
        return self.by.probability(scores)


def link_vectors(by: VectorDistance | VectorHead, published: TrainedModel, validation: Pairs | None) -> LinkedVectors:
    """The vectors of the test images under an attacker, with its scores of the validation pairs where there are any."""
    judged = vectors = None
    if validation is not None:
        vectors = by.map(published.vectors("val"))
        judged = by.pairs(vectors[validation.a], vectors[validation.b]), validation.same
    return LinkedVectors(by, by.map(published.vectors("test")), vectors, judged)
