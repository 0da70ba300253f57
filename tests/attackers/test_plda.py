"""Attackers that are fitted in closed form: PLDA on cells of an image, and on the features of a frozen network."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy.stats import multivariate_normal
from sklearn.metrics import roc_auc_score
from torchvision import models

from reidbench.attackers.encoder import Encoder
from reidbench.attackers.plda import LinearPixels, Plda, directions
from reidbench.conformance import broken, check_attacker
from reidbench.errors import ReidbenchError

CPU = torch.device("cpu")
SMALL = {"backbone": "resnet_small", "weights": "random", "size": 32, "grid": 4}


def auc(attacker, images, patients):
    vectors = attacker.embed(images, device=CPU)
    off = ~np.eye(len(patients), dtype=bool)
    return roc_auc_score((patients[:, None] == patients[None])[off], attacker.score_block(vectors, vectors)[off])


def fitted(attacker, world, images, patients, folder, **arguments):
    scenario = arguments.pop("scenario", None) or world.scenario(images, patients)
    training = attacker.fit(
        scenario, arguments.pop("val", None), seed=0, device=CPU, work_dir=folder / "fit", **arguments
    )
    return attacker, training


def test_the_score_is_the_log_likelihood_ratio_of_the_model():
    rng = np.random.default_rng(0)
    ratio = np.array([5.0, 0.7, 0.01, 0.0])
    a, b = rng.normal(size=(2, 6, 4)) * 2
    expected = np.zeros((6, 6))
    for i, j in np.ndindex(6, 6):
        for u, v, r in zip(a[i], b[j], ratio):
            together = multivariate_normal.logpdf([u, v], cov=[[1 + r, r], [r, 1 + r]])
            apart = multivariate_normal.logpdf(u, cov=1 + r) + multivariate_normal.logpdf(v, cov=1 + r)
            expected[i, j] += together - apart
    head = Plda(4)
    head.ratio.copy_(torch.from_numpy(ratio))
    one, other = (head.vectors(torch.from_numpy(x).float()) for x in (a, b))
    np.testing.assert_allclose(head.block(one, other).numpy(), expected, atol=1e-4)
    np.testing.assert_allclose(head.pairs(one, other).numpy(), np.diag(expected), atol=1e-4)
    probability = head.probability(expected.astype(np.float32))
    np.testing.assert_allclose(probability, 1 / (1 + np.exp(-expected)), rtol=1e-4)


def planted(patients, visits, noise, rng):
    """Features whose patients differ in three of ten directions, mixed by a fixed matrix."""
    mixing = np.linalg.qr(rng.normal(size=(10, 10)))[0] * np.geomspace(3, 0.3, 10)
    owners = np.repeat(np.arange(patients), visits)
    own = np.zeros((patients, 10))
    own[:, :3] = rng.normal(size=(patients, 3)) * np.sqrt([9.0, 4.0, 1.0])
    return ((own[owners] + noise * rng.normal(size=(len(owners), 10))) @ mixing + 7).astype(np.float32), owners


def test_directions_are_those_in_which_patients_differ_with_their_ratios():
    rng = np.random.default_rng(0)
    features, owners = planted(2000, 4, 1.0, rng)
    found = directions(features, owners, components=10, dimensions=6, seed=0)
    np.testing.assert_allclose(found.ratio[:3], [9, 4, 1], rtol=0.1)
    assert found.ratio[3:].max() < 0.05
    vectors = (features - found.mean) @ found.matrix
    means = vectors.reshape(2000, 4, 6).mean(axis=1)
    within = (vectors.reshape(2000, 4, 6) - means[:, None]).reshape(-1, 6)
    covariance = within.T @ within / (2000 * 3)
    kept = found.ratio > 0
    np.testing.assert_allclose(covariance[np.ix_(kept, kept)], np.eye(kept.sum()), atol=0.05)


def test_there_may_be_fewer_directions_than_asked_for_and_none():
    rng = np.random.default_rng(0)
    features, owners = planted(5, 2, 0.1, rng)
    found = directions(features, owners, components=100, dimensions=20, seed=0)
    assert found.matrix.shape == (10, 20)
    assert np.isfinite(found.matrix).all()
    assert 0 < (found.ratio > 0).sum() <= 4
    assert not found.matrix[:, found.ratio == 0].any()
    none = directions(np.ones((10, 4), np.float32), owners, components=3, dimensions=2, seed=0)
    assert not none.matrix.any()
    assert not none.ratio.any()


def shaded(patients, visits, seed):
    """A faint coarse pattern is the patient's, and a strong shade across the image is the visit's."""
    rng = np.random.default_rng(seed)
    owners = np.repeat(np.arange(patients), visits)
    pattern = np.kron(rng.normal(0, 0.03, (patients, 8, 8)), np.ones((4, 4)))
    rows, columns = np.mgrid[:32, :32] / 31 - 0.5
    down, across = rng.normal(0, 0.2, (2, len(owners), 1, 1))
    images = 0.5 + pattern[owners] + down * rows + across * columns + rng.normal(0, 0.02, (len(owners), 32, 32))
    return np.round(255 * images.clip(0, 1)).astype(np.uint8), owners


@pytest.mark.parametrize("scoring", ["plda", "cosine"])
def test_cells_of_images_link_patients_where_raw_pixels_see_what_visits_change(world, tmp_path, scoring):
    images, patients = shaded(60, 4, seed=1)
    test_images, test_patients = shaded(30, 3, seed=2)
    val = world.fixed(test_images, test_patients)
    attacker, training = fitted(LinearPixels(grid=8, scoring=scoring), world, images, patients, tmp_path, val=val)
    assert training.learned
    assert training.images_seen == 240
    reached = auc(attacker, test_images, test_patients)
    assert training.history[-1]["val_auc"] == pytest.approx(reached, abs=1e-6)
    pixels = test_images.reshape(90, -1).astype(np.float64)
    off = ~np.eye(90, dtype=bool)
    raw = roc_auc_score((test_patients[:, None] == test_patients[None])[off], np.corrcoef(pixels)[off])
    assert raw < 0.75
    assert reached > 0.95


def test_constant_images_teach_nothing_and_tie_exactly(world, tmp_path):
    images, patients = world.blobs(12, 3, seed=1)
    constant = np.full_like(images, 90)
    attacker, training = fitted(LinearPixels(grid=8), world, constant, patients, tmp_path)
    assert not training.learned
    vectors = attacker.embed(images, device=CPU)
    assert len(np.unique(attacker.score_block(vectors, vectors))) == 1


def test_equal_images_have_equal_scores_to_the_last_bit(world, tmp_path):
    images, patients = world.blobs(20, 3, seed=1)
    attacker, _ = fitted(LinearPixels(grid=8), world, images, patients, tmp_path)
    images[[7, 31, 59]] = images[0]
    vectors = attacker.embed(images, device=CPU)
    block = attacker.score_block(vectors, vectors)
    for row in (7, 31, 59):
        assert np.array_equal(block[row], block[0])
        assert np.array_equal(block[:, row], block[:, 0])


def test_a_release_that_changes_nothing_is_fitted_as_no_release(world, tmp_path):
    images, patients = world.blobs(12, 3, seed=1)
    vectors = []
    for name, change in (
        ("none", lambda x: x),
        ("same", lambda x: x.clone()),
        ("noise", lambda x: (x + 0.1).clamp(0, 1)),
    ):
        scenario = world.scenario(images, patients, change)
        attacker, training = fitted(LinearPixels(grid=8), world, images, patients, tmp_path / name, scenario=scenario)
        assert training.images_seen == (72 if name == "noise" else 36)
        vectors.append(attacker.embed(images, device=CPU))
    assert np.array_equal(vectors[0], vectors[1])
    assert not np.allclose(vectors[0], vectors[2], atol=1e-3)


def test_a_fit_that_is_worse_than_its_start_is_dropped(world, tmp_path):
    images, patients = world.blobs(40, 4, seed=1)
    val = world.fixed(*world.blobs(20, 3, seed=2))
    first, _ = fitted(LinearPixels(grid=8), world, images, patients, tmp_path)
    first.save(tmp_path / "first.safetensors")
    shuffled = np.random.default_rng(0).permutation(patients)
    again, training = fitted(
        LinearPixels(grid=8), world, images, shuffled, tmp_path / "b", val=val, start=tmp_path / "first.safetensors"
    )
    assert training.kept_start
    assert np.array_equal(again.embed(images, device=CPU), first.embed(images, device=CPU))


def test_of_many_images_whole_patients_are_taken(world, tmp_path):
    images, patients = world.blobs(20, 3, seed=1)
    seen = []
    scenario = world.scenario(images, patients)

    def watching(index, *, generator, device):
        seen.extend(index)
        return scenario.probe(index, generator=generator, device=device)

    watched = type(scenario)(patients, watching, scenario.gallery, world.size)
    _, training = fitted(LinearPixels(grid=8, most_images=16), world, images, patients, tmp_path, scenario=watched)
    assert training.images_seen == len(seen) == 15
    assert np.array_equal(np.unique(patients[seen], return_counts=True)[1], [3] * 5)


@pytest.mark.parametrize("owners", [[0, 1, 2, 3], [0, 0, 0], []], ids=["all single", "one patient", "empty"])
def test_no_pairs_to_fit_to_is_a_clear_error(world, tmp_path, owners):
    patients = np.array(owners, dtype=np.int64)
    images = np.zeros((len(patients), 32, 32), dtype=np.uint8)
    with pytest.raises(ReidbenchError, match="cannot train a re-identification attacker"):
        fitted(LinearPixels(), world, images, patients, tmp_path)


@pytest.mark.parametrize(
    ("attacker", "options"), [(LinearPixels, {}), (LinearPixels, {"scoring": "cosine"}), (Encoder, SMALL)]
)
def test_the_contract_is_kept(attacker, options):
    findings = check_attacker(attacker, options)
    assert not broken(findings), [finding.message for finding in broken(findings)]
    assert all(finding.passed for finding in findings)


def test_weights_of_other_options_are_refused(world, tmp_path):
    images, patients = world.blobs(12, 3, seed=1)
    attacker, _ = fitted(LinearPixels(grid=8), world, images, patients, tmp_path)
    attacker.save(tmp_path / "w.safetensors")
    with pytest.raises(ReidbenchError, match="grid is '8', not '16'"):
        LinearPixels(grid=16).load(tmp_path / "w.safetensors", device=CPU)
    with pytest.raises(ReidbenchError, match="attacker is 'plda', not 'encoder'"):
        Encoder(**SMALL).load(tmp_path / "w.safetensors", device=CPU)


def test_an_encoder_asks_for_its_weights_in_one_line(world, tmp_path):
    images, patients = world.blobs(6, 2, seed=1)
    with pytest.raises(ReidbenchError, match=r"whose weights\? Add --set encoder.weights=FILE") as refusal:
        fitted(Encoder(), world, images, patients, tmp_path)
    assert "\n" not in str(refusal.value)
    with pytest.raises(ReidbenchError, match="no weights file"):
        fitted(Encoder(weights=str(tmp_path / "none.pt")), world, images, patients, tmp_path)


def test_an_encoder_stays_as_it_is_and_its_file_needs_no_other(world, tmp_path):
    images, patients = world.blobs(12, 3, seed=1)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        network = models.squeezenet1_1()
    save_file(network.state_dict(), tmp_path / "network.safetensors")
    options = {"backbone": "squeezenet1_1", "size": 64, "grid": 1, "weights": str(tmp_path / "network.safetensors")}
    attacker, _ = fitted(Encoder(**options), world, images, patients, tmp_path)
    kept = attacker.siamese.network[0].backbone.features.state_dict()
    assert all(torch.equal(kept[name], value) for name, value in network.features.state_dict().items())
    attacker.save(tmp_path / "w.safetensors")
    (tmp_path / "network.safetensors").unlink()
    other = Encoder(**options)
    other.load(tmp_path / "w.safetensors", device=CPU)
    assert np.array_equal(other.embed(images, device=CPU), attacker.embed(images, device=CPU))
