"""Heads and losses against independent computations in numpy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from reidbench.attackers.heads import NormalizedDistance, PairHead, ScaledDifference, SigmoidDifference
from reidbench.attackers.losses import BalancedPairs, Contrast, PairsAndContrast
from reidbench.attackers.retrieval import Retrieval
from reidbench.attackers.siamese_network import Batch
from reidbench.attackers.verification import Verification


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.fixture
def head():
    torch.manual_seed(0)
    made = ScaledDifference(6)
    with torch.no_grad():
        # Weights of both signs, and a length that isn't the first one.
        made.linear.weight.copy_(torch.tensor([[1.5, -2.0, 0.5, -0.25, 0.0, 3.0]]))
        made.linear.bias.fill_(0.75)
        made.log_scale.fill_(math.log(3))
    return made.eval()


def test_difference_head_is_the_linear_map_of_the_absolute_difference_of_sigmoids(head):
    rng = np.random.default_rng(0)
    z = rng.normal(size=(7, 6)).astype(np.float32)
    with torch.no_grad():
        vectors = head.vectors(torch.from_numpy(z))
    expected = sigmoid(3 * z / np.linalg.norm(z, axis=1, keepdims=True))
    np.testing.assert_allclose(vectors.numpy(), expected, rtol=1e-5)
    logits = np.abs(expected[:, None] - expected[None]) @ np.array([1.5, -2.0, 0.5, -0.25, 0.0, 3.0]) + 0.75
    with torch.no_grad():
        np.testing.assert_allclose(head.block(vectors, vectors).numpy(), logits, rtol=1e-5, atol=1e-6)
        pairs = head.pairs(vectors[:6], vectors[1:])
    np.testing.assert_allclose(pairs.numpy(), logits[np.arange(6), np.arange(1, 7)], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("signs", ["both", "negative", "positive", "none"])
def test_the_block_is_the_same_without_gradients(signs):
    head = SigmoidDifference(6)
    weight = torch.randn(1, 6)
    head.linear.weight.data = {"both": weight, "negative": -weight.abs(), "positive": weight.abs(), "none": 0 * weight}[
        signs
    ]
    a, b = torch.rand(5, 6), torch.rand(7, 6)
    with torch.no_grad():
        found = head.block(a, b)
    torch.testing.assert_close(found, head.block(a, b))
    torch.testing.assert_close(found, head.linear((a[:, None] - b[None]).abs())[..., 0])


def test_gradients_of_the_block_are_those_of_the_plain_formula(head):
    a = torch.rand(5, 6, dtype=torch.float64, requires_grad=True)
    b = torch.rand(4, 6, dtype=torch.float64, requires_grad=True)
    head = head.double()
    weights = torch.randn(5, 4, dtype=torch.float64)
    inputs = [a, b, head.linear.weight, head.linear.bias]
    fast = torch.autograd.grad((head.block(a, b) * weights).sum(), inputs)
    plain = torch.autograd.grad((head.linear((a[:, None] - b[None]).abs())[..., 0] * weights).sum(), inputs)
    for one, other in zip(fast, plain):
        # A weight of exactly zero has no side to be on; everything else must agree.
        keep = head.linear.weight != 0 if one.shape == head.linear.weight.shape else torch.ones_like(one, dtype=bool)
        torch.testing.assert_close(one[keep], other[keep])


class Given(PairHead):
    """Scores that are given."""

    def __init__(self, scores):
        super().__init__()
        self.scores = scores

    def vectors(self, embeddings):
        return embeddings

    def block(self, a, b):
        return self.scores


def batch(probe, gallery, probe_patients, gallery_patients):
    return Batch(probe, gallery, torch.tensor(probe_patients), torch.tensor(gallery_patients))


def test_balanced_pairs_is_the_mean_of_both_kinds():
    logits = torch.tensor([[2.0, -1.0, 0.5], [0.0, 3.0, -2.0]])
    empty = torch.zeros(0)
    loss, uninformed = BalancedPairs()(Given(logits), batch(empty, empty, [0, 1], [0, 1, 1]))
    genuine = [-math.log(sigmoid(x)) for x in (2.0, 3.0, -2.0)]
    impostor = [-math.log(1 - sigmoid(x)) for x in (-1.0, 0.5, 0.0)]
    assert loss.item() == pytest.approx((np.mean(genuine) + np.mean(impostor)) / 2, rel=1e-5)
    assert uninformed == pytest.approx(math.log(2))


def test_balanced_pairs_of_a_silent_head_is_its_uninformed_loss():
    loss, uninformed = BalancedPairs()(
        Given(torch.zeros(3, 3)), batch(torch.zeros(0), torch.zeros(0), [0, 1, 2], [0, 1, 2])
    )
    assert loss.item() == pytest.approx(uninformed)


def contrast_by_hand(anchors, anchor_patients, others, other_patients, temperature):
    losses = []
    for vector, patient in zip(anchors, anchor_patients):
        similar = others @ vector / temperature
        log_share = similar - np.log(np.exp(similar).sum())
        if (other_patients == patient).any():
            losses.append(-log_share[other_patients == patient].mean())
    return np.mean(losses)


def unit(rng, count, dimensions=5):
    vectors = rng.normal(size=(count, dimensions))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_contrast_compares_each_side_with_the_other_and_what_it_remembers_of_it():
    rng = np.random.default_rng(0)
    contrast = Contrast(5, temperature=0.2, memory=7)
    held = {
        "probe": (np.zeros((0, 5), np.float32), np.zeros(0, int)),
        "gallery": (np.zeros((0, 5), np.float32), np.zeros(0, int)),
    }
    for round_ in range(4):
        probe, gallery = unit(rng, 4), unit(rng, 3)
        probe_patients, gallery_patients = np.array([0, 1, 1, 2]) + round_ % 2, np.array([0, 1, 2]) + round_ % 2
        loss, uninformed = contrast(
            NormalizedDistance(),
            batch(
                torch.from_numpy(probe), torch.from_numpy(gallery), probe_patients.tolist(), gallery_patients.tolist()
            ),
        )
        for name, vectors, patients in (("probe", probe, probe_patients), ("gallery", gallery, gallery_patients)):
            before, whose = held[name]
            # A ring of seven: the newest seven, in any order.
            held[name] = np.concatenate([before, vectors])[-7:], np.concatenate([whose, patients])[-7:]
        expected = (
            contrast_by_hand(probe, probe_patients, *held["gallery"], 0.2)
            + contrast_by_hand(gallery, gallery_patients, *held["probe"], 0.2)
        ) / 2
        assert loss.item() == pytest.approx(expected, rel=1e-4)
        assert uninformed == pytest.approx((math.log(len(held["probe"][0])) + math.log(len(held["gallery"][0]))) / 2)


def test_contrast_without_memory_compares_with_all_others_of_the_batch():
    rng = np.random.default_rng(3)
    contrast = Contrast(5, temperature=0.2)
    for _ in range(2):
        probe, gallery, patients = unit(rng, 4), unit(rng, 3), (np.array([0, 1, 1, 2]), np.array([0, 1, 2]))
        given = batch(torch.from_numpy(probe), torch.from_numpy(gallery), *(p.tolist() for p in patients))
        loss, uninformed = contrast(NormalizedDistance(), given)
        everyone, whose = np.concatenate([probe, gallery]), np.concatenate(patients)
        # Each image against all others: itself is left out, and who has no partner makes no loss.
        losses = [
            contrast_by_hand(everyone[i : i + 1], whose[i : i + 1], np.delete(everyone, i, 0), np.delete(whose, i), 0.2)
            for i in range(7)
            if (np.delete(whose, i) == whose[i]).any()
        ]
        assert loss.item() == pytest.approx(np.mean(losses), rel=1e-4)
        assert uninformed == pytest.approx(math.log(6))


@pytest.mark.parametrize("memory", [0, 8])
def test_contrast_of_equal_vectors_is_its_uninformed_loss(memory):
    vectors = torch.nn.functional.normalize(torch.ones(4, 5))
    loss, uninformed = Contrast(5, 0.1, memory)(
        NormalizedDistance(), batch(vectors, vectors.clone(), [0, 1, 2, 3], [0, 1, 2, 3])
    )
    assert loss.item() == pytest.approx(uninformed, rel=1e-5)


def test_distance_head_is_minus_the_distance_on_the_sphere():
    rng = np.random.default_rng(1)
    z = 10 * rng.normal(size=(6, 4)).astype(np.float32)
    head = NormalizedDistance()
    vectors = head.vectors(torch.from_numpy(z))
    unit_z = z / np.linalg.norm(z, axis=1, keepdims=True)
    distances = np.sqrt(((unit_z[:, None].astype(np.float64) - unit_z[None]) ** 2).sum(-1))
    np.testing.assert_allclose(head.block(vectors, vectors).numpy(), -distances, atol=1e-6)
    np.testing.assert_allclose(
        head.pairs(vectors[:5], vectors[1:]).numpy(), -distances[np.arange(5), np.arange(1, 6)], atol=1e-6
    )
    assert np.all(np.diag(head.block(vectors, vectors).numpy()) == 0)


def test_probabilities():
    scores = np.array([-2.0, 0.0, 1.0], dtype=np.float32)
    np.testing.assert_allclose(Verification().probability(scores), sigmoid(scores), rtol=1e-6)
    assert np.isnan(Retrieval().probability(scores)).all()
    assert Retrieval().probability(scores).shape == (3,)


def test_verification_adds_the_contrast_at_its_weight():
    rng = np.random.default_rng(2)
    given = batch(*(torch.from_numpy(3 * unit(rng, 4)) for _ in range(2)), [0, 0, 1, 2], [0, 1, 1, 2])
    head = ScaledDifference(5)
    pairs, ln2 = BalancedPairs()(head, given)
    contrast, uninformed = Contrast(5, 0.2, 8)(head, given)
    loss, chance = PairsAndContrast(Contrast(5, 0.2, 8), 0.5)(head, given)
    assert loss.item() == pytest.approx(pairs.item() + 0.5 * contrast.item(), rel=1e-5)
    assert chance == pytest.approx(ln2 + 0.5 * uninformed)


def test_a_fresh_verification_head_leans_towards_impostors_without_saturating():
    torch.manual_seed(0)
    head = ScaledDifference(128)
    with torch.no_grad():
        vectors = head.vectors(5 * torch.randn(64, 128))
        logits = head.block(vectors, vectors)
    off = logits[~torch.eye(64, dtype=torch.bool)]
    assert -4 < off.min() < off.max() < -1
    torch.testing.assert_close(logits.diagonal(), torch.full((64,), 2.0))
