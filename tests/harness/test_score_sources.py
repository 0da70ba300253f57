"""The attackers' mean score: scales from validation pairs alone, and nothing from one that has nothing to say."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from reidbench.cohorts.pairing.image_pairs import Pairs
from reidbench.harness.scores.sources import Fused


@dataclass
class Member:
    matrix: np.ndarray
    validation: tuple[np.ndarray, np.ndarray] | None
    restoration: None = None
    scale: tuple[float, float] | None = None
    galleries: None = None
    name: str = "member"

    def scores(self, pairs):
        return self.matrix[pairs.a, pairs.b]

    def block(self, rows):
        return self.matrix[rows]


@pytest.fixture
def truth():
    return np.array([True, False, True, False, False])


def member(seed, truth, scale=1.0):
    rng = np.random.default_rng(seed)
    return Member(rng.normal(size=(6, 6)).astype(np.float32) * scale, (rng.normal(size=5) * scale + 3, truth))


def test_it_is_the_mean_of_scores_standardized_on_validation_pairs(truth):
    one, two = member(1, truth), member(2, truth, scale=1000.0)
    fused = Fused.of([one, two])
    expected = sum((m.matrix - m.validation[0].mean()) / m.validation[0].std() for m in (one, two)) / 2
    np.testing.assert_allclose(fused.block(slice(1, 4)), expected[1:4], rtol=1e-5)
    pairs = Pairs(a=np.array([0, 3]), b=np.array([5, 2]), same=np.array([True, False]), notes=())
    np.testing.assert_allclose(fused.scores(pairs), expected[[0, 3], [5, 2]], rtol=1e-5)
    scores, known = fused.validation
    assert scores.mean() == pytest.approx(0, abs=1e-6)
    assert known is truth
    assert np.isnan(fused.probability(scores)).all()


def test_an_attacker_that_says_the_same_of_every_pair_changes_nothing(truth):
    one = member(1, truth)
    deaf = Member(np.full((6, 6), 0.1, dtype=np.float32), (np.full(5, 0.1), truth))
    alone = (one.matrix - one.validation[0].mean()) / one.validation[0].std() / 2
    np.testing.assert_allclose(Fused.of([one, deaf]).block(slice(None)), alone, rtol=1e-5)
    assert np.ptp(Fused.of([deaf, deaf]).block(slice(None))) == 0, "ties stay ties"


def test_without_validation_pairs_the_scale_of_a_bundle_serves(truth):
    one, other = member(1, truth), member(2, truth)
    known = Fused.of([one, other])
    scales = [(float(m.validation[0].mean()), 1 / float(m.validation[0].std())) for m in (one, other)]
    brought = Fused.of([Member(m.matrix, None, scale=scale) for m, scale in zip((one, other), scales)])
    assert brought.validation is None
    np.testing.assert_allclose(brought.block(slice(None)), known.block(slice(None)), rtol=1e-5)


def test_one_attacker_or_no_validation_pair_makes_no_fusion(truth):
    one = member(1, truth)
    assert Fused.of([one]) is None
    assert Fused.of([one, Member(one.matrix, None)]) is None
    assert Fused.of([one, Member(one.matrix, (np.empty(0), np.empty(0, dtype=bool)))]) is None
