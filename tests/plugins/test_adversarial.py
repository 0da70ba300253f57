"""flow_field and privacy_net: the deformation, the two networks they are trained against, and what they train on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from kornia.filters import get_gaussian_kernel2d
from torch import nn

from reidbench import FitData, ReidbenchError
from reidbench.conformance.fitting import small_set
from reidbench.defenses.fitting import fit_defense
from reidbench.defenses.release import release
from reidbench_plugins._adversaries import Adversaries, Partners
from reidbench_plugins.flow_field import FlowField
from reidbench_plugins.privacy_net import PrivacyNet

CPU = torch.device("cpu")
LITTLE = {"features": 2, "verifier": "resnet_small_4", "classifier": "resnet_small_4"}


class Pull(nn.Module):
    """A flow that leads everywhere to the right, and is no network's."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.tensor([-1.0, 0.0]).view(1, 2, 1, 1).expand(len(images), 2, *images.shape[-2:])


def published(defense: FlowField, pixels: np.ndarray, network: nn.Module) -> np.ndarray:
    ids = [str(number) for number in range(len(pixels))]
    return release(defense.fitted(network, CPU), pixels, ids, np.arange(len(pixels)), seed=0)


def test_without_displacement_the_kept_border_is_the_identity_and_the_published_one_drags(pixels) -> None:
    images = pixels(3, 64, 64)
    network = FlowField(features=2).build()
    np.testing.assert_array_equal(published(FlowField(mu=0), images, network), images)
    dragged = published(FlowField(mu=0, border="published"), images, network)
    # Beyond the border the kernel's half adds zeros, so that four pixels from it on nothing moves.
    np.testing.assert_array_equal(dragged[:, 4:-4, 4:-4], images[:, 4:-4, 4:-4])
    assert (dragged != images)[:, [0, -1]].mean() > 0.5
    # A ramp shows how far: the corner's sampling point is the kernel's sum over what lies inside, times −1.
    ramp = np.tile(np.linspace(0, 255, 64).round().astype(np.uint8), (1, 64, 1))
    moved = published(FlowField(mu=0, border="published"), ramp, network)
    inside = get_gaussian_kernel2d((9, 9), (2.0, 2.0))[0, :, 4:].sum(0)
    reached = -(inside * torch.linspace(-1, 1, 64)[:5]).sum().abs()
    assert moved[0, 32, 0] == pytest.approx(255 * (float(reached) + 1) / 2, abs=1)
    assert moved[0, 32, 0] > 255 * 10 / 63, "by more than ten pixels"


@pytest.mark.parametrize("mu", [0.05, 0.2])
def test_a_flow_moves_by_mu_halves_of_the_side_to_the_border(mu: float) -> None:
    ramp = np.tile(np.linspace(0, 200, 61).round().astype(np.uint8), (2, 40, 1))
    after = published(FlowField(mu=mu), ramp, Pull())
    step = 200 / 60
    expected = np.minimum(ramp + mu * 30 * step, 200)
    np.testing.assert_allclose(after, expected, atol=1.5)


def test_the_flow_is_smoothed_by_the_published_kernel() -> None:
    class Spike(nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            flow = torch.zeros(len(images), 2, *images.shape[-2:])
            flow[:, 0, 20, 20] = -1
            return flow

    ramp = torch.linspace(0, 1, 41).expand(1, 1, 41, 41)
    moved = FlowField(mu=0.5).anonymize(Spike(), ramp) - ramp
    # Along x the ramp rises by half a unit of the grid's for each unit.
    kernel = get_gaussian_kernel2d((9, 9), (2.0, 2.0))[0] * 0.5 / 2
    torch.testing.assert_close(moved[0, 0, 16:25, 16:25], kernel, atol=1e-5, rtol=0)
    assert float(moved.abs().sum()) == pytest.approx(0.25, abs=1e-3)


def test_the_published_network_is_the_published_one() -> None:
    network = FlowField(features=32).build()
    convolutions = [tuple(m.weight.shape) for m in network.modules() if isinstance(m, nn.Conv2d)]
    assert convolutions[0] == (32, 1, 3, 3)
    assert convolutions[-1] == (2, 32, 1, 1)
    # 32 → 512 channels over four halvings, joined maps on the way back: the count that follows from it by hand.
    widths = [32, 64, 128, 256, 512]
    block = [9 * i * o + 9 * o * o + 4 * o for i, o in zip([1, *widths], widths)]
    back = [4 * 2 * w * w + w + 9 * 2 * w * w + 9 * w * w + 4 * w for w in widths[:-1]]
    assert sum(p.numel() for p in network.parameters()) == sum(block) + sum(back) + 2 * 32 + 2
    with torch.no_grad():
        flow = network.eval()(torch.rand(1, 1, 50, 37))
        drawn = PrivacyNet(features=4).build().eval()(torch.rand(1, 1, 50, 37))
    assert flow.shape == (1, 2, 50, 37)
    assert float(flow.abs().max()) < 1
    assert drawn.shape == (1, 1, 50, 37)
    assert 0 < float(drawn.min()) < float(drawn.max()) < 1


def test_an_images_partner_is_another_one_of_its_patient() -> None:
    patients = np.array([0, 1, 0, 2, 1, 0, 3, 1, 0])
    partners = Partners(patients)
    seen = set()
    for epoch in range(40):
        batches = list(partners.batches(2, np.random.default_rng(epoch)))
        probes, gallery = (np.concatenate(side) for side in zip(*batches))
        assert sorted(probes) == list(range(9)), "each image once a pass"
        np.testing.assert_array_equal(patients[probes], patients[gallery])
        alone = np.isin(patients[probes], [2, 3])
        np.testing.assert_array_equal(probes == gallery, alone)
        seen |= set(zip(probes.tolist(), gallery.tolist()))
    assert {g for p, g in seen if p == 0} == {2, 5, 8}, "every one of them in time"


@pytest.mark.parametrize("patients", [[0, 0, 0], [0, 1, 2]])
def test_it_refuses_what_no_verifier_can_learn_from(patients: list[int], tmp_path: Path) -> None:
    data = FitData(np.zeros((3, 32, 32), np.uint8), np.array(patients), np.zeros((3, 1), np.float32))
    with pytest.raises(ReidbenchError, match="flow_field: a verifier to train against takes two patients"):
        fit_defense(FlowField(**LITTLE), data, seed=0, work_dir=tmp_path)


def test_the_network_learns_from_frozen_critics_and_they_from_what_it_makes(tmp_path: Path) -> None:
    """One step, with its three parts told apart by what moves."""
    data = small_set()
    torch.manual_seed(0)
    options = FlowField(**LITTLE, mu=0.1, warmup=0, epochs=1)
    module = Adversaries(options, options.build(), data, seed=1)
    rows = next(module._partners.batches(1, np.random.default_rng(0)))
    before = {name: value.clone() for name, value in module.state_dict().items()}
    seen: list[tuple[str, set[str]]] = []

    class Stepper:
        def __init__(self, part: nn.Module) -> None:
            self._adam = torch.optim.Adam(part.parameters(), lr=1e-3)

        def zero_grad(self) -> None:
            self._adam.zero_grad()

        def step(self) -> None:
            self._adam.step()
            moved = {n.split(".")[0] for n, v in module.named_parameters() if not torch.equal(v, before[n])}
            seen.append((names[len(seen)], moved))
            before.update({name: value.clone() for name, value in module.state_dict().items()})

    names = ["network", "verifier", "classifier"]
    steppers = [Stepper(part) for part in (module.network, module.verifier, module.classifier)]
    module.optimizers = lambda: steppers  # type: ignore[method-assign]
    module.manual_backward = lambda loss: loss.backward()  # type: ignore[method-assign]
    module.toggle_optimizer = module.untoggle_optimizer = lambda optimizer: None  # type: ignore[method-assign]
    logged: dict[str, float] = {}
    module.log = lambda name, value, **_: logged.update({name: float(value)})  # type: ignore[method-assign]
    module.training_step(rows, 0)
    assert seen == [(name, {name}) for name in names]
    assert set(logged) == {"reconstruction_loss", "train_loss", "verifier_loss", "classifier_loss"}


@pytest.mark.parametrize("cls", [FlowField, PrivacyNet])
def test_a_training_killed_in_the_middle_ends_with_an_unbroken_ones_weights(cls, tmp_path: Path, monkeypatch) -> None:
    defense = cls(**LITTLE, warmup=1, epochs=2, batch_size=8)
    whole, history = fit_defense(defense, small_set(), seed=3, work_dir=tmp_path / "whole")
    step, calls = Adversaries.training_step, []

    def dies(self: Adversaries, rows: object, number: int) -> None:
        calls.append(number)
        if len(calls) == 8:  # In the third of three passes of three steps.
            raise KeyboardInterrupt
        step(self, rows, number)

    monkeypatch.setattr(Adversaries, "training_step", dies)
    with pytest.raises(KeyboardInterrupt):
        fit_defense(defense, small_set(), seed=3, work_dir=tmp_path / "killed")
    resumed, again = fit_defense(defense, small_set(), seed=3, work_dir=tmp_path / "killed")
    assert len(calls) == 8 + 3, "the passes that were done are not done again"
    for name, tensor in whole.network.state_dict().items():
        assert torch.equal(tensor, resumed.network.state_dict()[name]), name
    for one, other in zip(history, again, strict=True):
        assert {k: v for k, v in one.items() if k != "seconds"} == {k: v for k, v in other.items() if k != "seconds"}
    assert ["train_loss" in row for row in history] == [False, True, True]


def test_without_findings_it_trains_against_the_verifier_alone(tmp_path: Path) -> None:
    data = small_set()
    bare = FitData(data.pixels, data.patients, np.empty((len(data), 0), np.float32))
    _, history = fit_defense(PrivacyNet(**LITTLE, warmup=0, epochs=1), bare, seed=0, work_dir=tmp_path)
    assert "verifier_loss" in history[0]
    assert "classifier_loss" not in history[0]


def test_it_learns_to_return_the_image(tmp_path: Path) -> None:
    defense = PrivacyNet(**LITTLE, warmup=4, epochs=1, batch_size=8, lr=0.01)
    _, history = fit_defense(defense, small_set(), seed=0, work_dir=tmp_path)
    assert history[3]["reconstruction_loss"] < 0.75 * history[0]["reconstruction_loss"]


@pytest.mark.parametrize("defense", [FlowField(**LITTLE, mu=0.2), PrivacyNet(**LITTLE)])
def test_its_loss_falls_where_its_critics_stand_still(defense) -> None:
    torch.manual_seed(0)
    module = Adversaries(defense, defense.build(), small_set(), seed=1)
    adam = torch.optim.Adam(module.network.parameters(), lr=0.01)
    probes, gallery = next(module._partners.batches(1, np.random.default_rng(0)))
    images, others = module._images(probes), module._images(gallery)
    labels = torch.from_numpy(module._data.labels[probes])
    same = torch.from_numpy(module._data.patients[probes][:, None] == module._data.patients[gallery])
    losses = []
    for _ in range(15):
        loss = module._fooled(defense.anonymize(module.network, images), others, labels, same, torch.ones_like(same))
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] - 0.001


def test_a_training_short_of_the_published_one_says_in_what() -> None:
    assert PrivacyNet(**PrivacyNet.operating_points["published"]).unlike_published() == {}
    short = PrivacyNet().unlike_published()
    assert short["epochs"] == 32
    assert short["features"] == 16
    assert "verifier_weight" not in short
    assert FlowField(mu=0.03).unlike_published()["mu"] == 0.01
