"""Losses that take patients for classes, against their formulas computed apart."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.special import logsumexp

from reidbench.attackers.heads import NormalizedDistance
from reidbench.attackers.losses import AdaCos, ArcFace, Contrast, WithClasses
from reidbench.attackers.siamese_network import Batch


def normalized(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def drawn():
    rng = np.random.default_rng(0)
    return rng.normal(size=(20, 8)), rng.integers(0, 12, 20)


def as_tensors(drawn):
    vectors, labels = drawn
    return torch.from_numpy(vectors).float(), torch.from_numpy(labels)


def test_adacos_sets_its_scale_by_the_batch_and_is_a_cross_entropy(drawn):
    vectors, labels = drawn
    with torch.random.fork_rng():
        torch.manual_seed(0)
        loss = AdaCos(12, 8)
    assert float(loss.scale) == pytest.approx(math.sqrt(2) * math.log(11))
    cosines = normalized(vectors) @ normalized(loss.centres.detach().double().numpy()).T
    right = labels[:, None] == np.arange(12)
    scale = math.sqrt(2) * math.log(11)
    for _ in range(3):
        # Zhang et al. 2019: log of the wrong classes' mean sum, over the cosine of the median angle (at most 45°).
        wrong = np.where(right, 0, np.exp(scale * cosines)).sum(axis=1).mean()
        angle = np.sort(np.arccos(cosines[right]))[(len(labels) - 1) // 2]
        scale = math.log(wrong) / math.cos(min(math.pi / 4, angle))
        expected = (logsumexp(scale * cosines, axis=1) - scale * cosines[right]).mean()
        assert float(loss(*as_tensors(drawn))) == pytest.approx(expected, rel=1e-4)
        assert float(loss.scale) == pytest.approx(scale, rel=1e-4)


def test_the_scale_of_adacos_and_the_centres_survive_a_checkpoint(drawn):
    loss = AdaCos(12, 8)
    loss(*as_tensors(drawn))
    other = AdaCos(12, 8)
    other.load_state_dict(loss.state_dict())
    assert float(other(*as_tensors(drawn))) == float(loss(*as_tensors(drawn)))


def test_adacos_of_two_classes_stays_a_loss():
    loss = AdaCos(2, 4)
    vectors = torch.nn.functional.normalize(loss.centres.detach())
    for _ in range(5):
        value = loss(vectors, torch.tensor([0, 1]))
    assert math.isfinite(float(value))
    assert float(loss.scale) >= 1


def test_arcface_wants_the_margin_in_radians_off_the_right_class_alone(drawn):
    vectors, labels = drawn
    loss = ArcFace(12, 8, margin=0.3, scale=10.0)
    centres = next(loss.parameters()).detach().double().numpy().T
    angles = np.arccos(normalized(vectors) @ normalized(centres).T)
    right = labels[:, None] == np.arange(12)
    assert angles[right].max() < math.pi - 0.3
    logits = 10 * np.cos(np.where(right, angles + 0.3, angles))
    expected = (logsumexp(logits, axis=1) - logits[right]).mean()
    assert float(loss(*as_tensors(drawn))) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("make", [lambda: AdaCos(12, 8), lambda: ArcFace(12, 8, margin=0.3, scale=10.0)])
def test_equal_vectors_can_fall_no_lower_than_uninformed(make):
    # From other centres the angular margin can end in a second minimum, opposite to the vectors and above the first.
    torch.manual_seed(0)
    loss = make()
    labels = torch.arange(12)
    vectors = torch.ones(12, 8)
    optimizer = torch.optim.Adam(loss.parameters(), lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        value = loss(vectors, labels)
        value.backward()
        optimizer.step()
    assert float(value.detach()) == pytest.approx(loss.uninformed, rel=1e-2)
    assert float(value.detach()) >= loss.uninformed - 1e-4


def test_classes_stand_beside_the_loss_of_pairs_and_learn_from_both_sides():
    probe, gallery = torch.randn(6, 8, requires_grad=True), torch.randn(4, 8, requires_grad=True)
    patients = torch.tensor([0, 0, 1, 2, 3, 3]), torch.tensor([0, 1, 2, 3])
    batch = Batch(probe, gallery, *patients)
    pairs, classes = Contrast(8, 0.1), ArcFace(4, 8, margin=0.2, scale=16.0)
    together = WithClasses(pairs, classes, 0.5)
    loss, uninformed = together(NormalizedDistance(), batch)
    alone, uninformed_alone = pairs(NormalizedDistance(), batch)
    beside = classes(torch.cat([probe, gallery]), torch.cat(patients))
    assert float(loss) == pytest.approx(float(alone) + 0.5 * float(beside), rel=1e-5)
    assert uninformed == pytest.approx(uninformed_alone + 0.5 * classes.uninformed)
    loss.backward()
    assert all(parameter.grad is not None and parameter.grad.abs().max() > 0 for parameter in together.parameters())
    assert probe.grad.abs().min(dim=1).values.max() > 0
    assert gallery.grad.abs().min(dim=1).values.max() > 0
