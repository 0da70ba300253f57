"""cloak and identity_blocking: the defender's own identity network, and what is made with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from reidbench import FitData, ReidbenchError, ReleaseRandom
from reidbench.conformance.fitting import small_set
from reidbench.defenses.fitting import fit_defense
from reidbench.defenses.release import release
from reidbench.images import to_unit
from reidbench_plugins._identity import identity_loss, partners
from reidbench_plugins.cloak import Cloak
from reidbench_plugins.identity_blocking import IdentityBlocking

CPU = torch.device("cpu")
LITTLE = {"epochs": 1, "backbone": "resnet_small_4", "grid": 4}


def fitted(defense, folder: Path):
    return fit_defense(defense, small_set(), seed=0, work_dir=folder)[0]


@pytest.fixture(scope="module")
def cloak(tmp_path_factory):
    return fitted(Cloak(**LITTLE, steps=4, targets=5), tmp_path_factory.mktemp("cloak"))


@pytest.fixture(scope="module")
def blocking(tmp_path_factory):
    return fitted(IdentityBlocking(**LITTLE, features=2), tmp_path_factory.mktemp("blocking"))


def published(defense, pixels: np.ndarray, seed: int = 0) -> np.ndarray:
    ids = [str(number) for number in range(len(pixels))]
    return release(defense, pixels, ids, np.arange(len(pixels)), seed=seed)


def test_a_partner_is_another_image_of_the_patient_and_none_is_found_twice_in_a_row_of_one() -> None:
    patients = np.array([0, 1, 0, 2, 1, 0])
    other = partners(patients)
    torch.manual_seed(0)
    rows = np.arange(6)
    found = np.stack([other(rows) for _ in range(50)])
    assert (patients[found] == patients).all()
    assert (found[:, [0, 1, 2, 4, 5]] != rows[[0, 1, 2, 4, 5]]).all()
    assert (found[:, 3] == 3).all(), "a single image stands for itself"
    assert set(found[:, 0]) == {2, 5}


@pytest.mark.parametrize("patients", [[0, 0, 0], [0, 1, 2]])
@pytest.mark.parametrize("cls", [Cloak, IdentityBlocking])
def test_it_refuses_what_no_identity_network_can_learn_from(cls, patients: list[int], tmp_path: Path) -> None:
    data = FitData(np.zeros((3, 32, 32), np.uint8), np.array(patients), np.zeros((3, 1), np.float32))
    with pytest.raises(ReidbenchError, match=r"an identity network takes two patients, and one with two images"):
        fit_defense(cls(**LITTLE), data, seed=0, work_dir=tmp_path)


def test_the_identity_loss_by_hand() -> None:
    one, two = torch.eye(3), torch.eye(3)
    patients = np.array([0, 1, 2])
    together = np.zeros(3, dtype=bool)
    expected = np.log(1 + 2 * np.exp(-1 / 0.1))
    assert float(identity_loss(one, two, patients, together)) == pytest.approx(expected, rel=1e-2)
    # Two rows of one patient are not told apart: one impostor is left to each of them, two to the third.
    vectors = torch.tensor([[1.0, 0], [1, 0], [0, 1]])
    near, far = np.log(1 + np.exp(-10)), np.log(1 + 2 * np.exp(-10))
    loss = float(identity_loss(vectors, vectors, np.array([0, 0, 2]), together))
    assert loss == pytest.approx((2 * near + far) / 3, rel=1e-2)
    # A row that is its own partner says nothing, and with none left there is nothing to learn.
    assert float(identity_loss(one, two, patients, ~together)) == 0


def test_no_pixel_of_a_cloaked_image_moves_beyond_the_budget_and_the_bound_is_reached(cloak, pixels) -> None:
    images = pixels(4, 32, 40)
    for budget in (0, 1, 6):
        after = published(cloak.model_copy(update={"budget": budget}), images).astype(int)
        assert np.abs(after - images).max() == budget
        if budget:
            assert (after != images).any(axis=(1, 2)).all()


def test_a_cloak_moves_the_vector_to_its_target_and_keeps_the_features_if_told(cloak, pixels) -> None:
    images = to_unit(pixels(6, 32, 40), CPU)
    network = cloak.network
    rng = ReleaseRandom.for_images(0, [str(number) for number in range(6)])
    target = network.vectors[(rng.uniform(6) * 5).long()]

    def away(defense, *, seed: int = 0) -> tuple[float, float]:
        draws = ReleaseRandom.for_images(seed, [str(number) for number in range(6)])
        after = defense.transform(images, rng=draws)
        kept = (network.classifier(after) - network.classifier(images)).square().mean()
        return float((network.identity(after) - target).square().sum(1).mean()), float(kept)

    loose = cloak.model_copy(update={"budget": 8, "keep": 0.0, "steps": 12})
    near, moved = away(loose)
    before = float((network.identity(images) - target).square().sum(1).mean())
    assert near < 0.6 * before
    assert away(loose, seed=1)[0] > near, "another draw has other targets"
    assert away(loose.model_copy(update={"keep": 1000.0}))[1] < 0.5 * moved


def test_targets_are_patients_of_the_train_split(cloak) -> None:
    data = small_set()
    vectors = cloak.network.identity(to_unit(data.pixels, CPU))
    distance = torch.cdist(cloak.network.vectors, vectors)
    nearest, whose = distance.min(dim=1)
    assert float(nearest.max()) < 1e-4
    assert len(set(data.patients[whose.numpy()])) == 5
    assert torch.linalg.vector_norm(cloak.network.vectors, dim=1).numpy() == pytest.approx(np.ones(5), abs=1e-4)


@pytest.mark.parametrize("share", [0, 0.25, 1])
def test_that_share_of_cells_is_covered_and_the_rest_is_as_it_was(blocking, share: float, pixels) -> None:
    images = pixels(3, 43, 61)
    defense = blocking.model_copy(update={"share": share})
    holes = defense.holes(to_unit(images, CPU))[:, 0].numpy()
    cells = holes[:, ::8, ::8]
    assert (cells.sum((1, 2)) == round(share * 6 * 8)).all()
    np.testing.assert_array_equal(cells.repeat(8, 1).repeat(8, 2)[:, :43, :61], holes)
    after = published(defense, images)
    np.testing.assert_array_equal(after[~holes], images[~holes])
    assert share == 0 or (after[holes] != images[holes]).mean() > 0.5


def test_the_covered_cells_are_those_with_the_most_slope(blocking, pixels) -> None:
    images = to_unit(pixels(1, 32, 32), CPU)
    network = blocking.network
    seen = images.clone().requires_grad_()
    (network.identity(seen) - network.mean).square().sum().backward()
    sums = seen.grad.abs().view(4, 8, 4, 8).sum((1, 3)).flatten()
    defense = blocking.model_copy(update={"share": 0.25})
    covered = defense.holes(images)[0, 0, ::8, ::8].flatten()
    assert set(sums.argsort(descending=True)[:4].tolist()) == set(covered.nonzero()[:, 0].tolist())


def test_the_inpainting_network_does_not_see_what_is_covered(blocking, pixels) -> None:
    images = to_unit(pixels(1, 32, 32), CPU)
    holes = blocking.holes(images)
    other = torch.where(holes, 1 - images, images)
    assert torch.equal(blocking._filling(images, holes), blocking._filling(other, holes))


def test_fillings_without_a_network(pixels, tmp_path: Path) -> None:
    defense = fitted(IdentityBlocking(**LITTLE, fill="mean", share=0.5), tmp_path)
    images = to_unit(pixels(2, 32, 32), CPU)
    holes = defense.holes(images)
    after = defense._blocked(images)
    for image, hole, out in zip(images, holes, after):
        assert out[hole].numpy() == pytest.approx(np.full(int(hole.sum()), float(image[~hole].mean())), abs=1e-5)
    assert (defense.model_copy(update={"share": 1.0})._blocked(images) == 0.5).all()
    blurred = defense.model_copy(update={"fill": "blur", "sigma": 2.0})._blocked(images)
    assert float(blurred[holes].std()) < float(images[holes].std())
