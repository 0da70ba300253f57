"""Federated averaging: who is where, what is averaged, and what is claimed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reidbench import LabelledImages, ReidbenchError, dp
from reidbench.defenses.model import fit_model
from reidbench.dp import spent_epsilon
from reidbench_plugins import federated
from reidbench_plugins.federated import Federated, at_site, mean_of, sites_of

CPU = torch.device("cpu")
SMALL = {"rounds": 2, "steps": 2, "batch_size": 3, "width": 4, "side": 16, "lr": 0.01}


def patients(count: int = 12) -> LabelledImages:
    rng = np.random.default_rng(5)
    pixels = rng.integers(0, 256, (count * 2, 24, 24), dtype=np.uint8)
    findings = rng.integers(0, 2, (count * 2, 3)).astype(np.float64)
    return LabelledImages(pixels, np.repeat(np.arange(count), 2), findings, population=count)


def fit(defense: Federated, folder, train: LabelledImages | None = None):
    return fit_model(defense, train or patients(), seed=0, device=CPU, work_dir=folder)


def test_a_patient_is_at_one_site_whoever_else_is_there() -> None:
    train = patients(200)
    where = sites_of(train, 5, seed=0)
    assert (where[::2] == where[1::2]).all(), "both images of a patient"
    assert sum(len(at_site(train, where == site, 40).pixels) for site in range(5)) == len(train.pixels)
    # Five even shares of 200, give or take three deviations.
    assert np.abs(np.bincount(where[::2], minlength=5) - 40).max() < 3 * np.sqrt(200 * 0.2 * 0.8)
    assert (where != sites_of(train, 5, seed=1)).any()
    kept = train.patients != 3
    fewer = LabelledImages(train.pixels[kept], train.patients[kept], train.findings[kept], 200)
    assert (sites_of(fewer, 5, seed=0) == where[kept]).all()


def test_a_patient_more_shifts_nobody() -> None:
    # Numbers are given in order, so that one more in front moves all of them on; names stay.
    names = np.array([f"p{number:03d}" for number in range(50)])

    def named(kept):
        numbers = np.arange(len(kept))
        empty = np.zeros((len(kept), 2, 2), dtype=np.uint8)
        return LabelledImages(empty, numbers, np.zeros((len(kept), 1)), 50, identifiers=names[kept])

    whole = sites_of(named(np.arange(50)), 4, seed=0)
    without = sites_of(named(np.arange(1, 50)), 4, seed=0)
    assert (whole[1:] == without).all()


def test_weights_are_averaged_with_an_equal_say() -> None:
    states = [{"w": torch.tensor([1.0, 5.0])}, {"w": torch.tensor([3.0, -5.0])}]
    assert mean_of(states)["w"].tolist() == [2.0, 0.0]


def test_sites_that_train_on_the_same_patients_alike_average_to_one_of_them(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(
        federated,
        "at_site",
        lambda train, rows, population: LabelledImages(train.pixels, train.patients, train.findings, population),
    )
    monkeypatch.setattr(federated, "seed_of", lambda what, seed, site, number: number)
    many, _ = fit(Federated(sites=3, **SMALL), tmp_path / "many")
    # Four patients count as a site's in both, so that a step takes them at one rate.
    train = patients()
    alone = LabelledImages(train.pixels, train.patients, train.findings, population=4)
    one, _ = fit(Federated(sites=1, **SMALL), tmp_path / "one", alone)
    for name, weights in one.state_dict().items():
        torch.testing.assert_close(many.state_dict()[name], weights, msg=name)


def test_each_site_keeps_to_the_epsilon_over_all_rounds(tmp_path, monkeypatch) -> None:
    asked = []
    monkeypatch.setattr(dp, "calibrate_noise", lambda *wanted: asked.append(wanted) or 3.0)
    network, fitted = fit(Federated(sites=2, epsilon=2.0, **SMALL), tmp_path)
    privacy = fitted.privacy
    # Six patients a site, of whom a step takes half; two rounds of two steps.
    assert (privacy.sample_rate, privacy.steps) == (0.5, 4)
    assert asked == [(2.0, 0.1 / 12, 0.5, 4)]
    assert privacy.epsilon == spent_epsilon(3.0, 0.5, 4, 0.1 / 12)
    assert fitted.epochs == 2
    assert all(bool(torch.isfinite(weights).all()) for weights in network.state_dict().values())


def test_a_killed_training_goes_on_where_it_was(tmp_path, monkeypatch) -> None:
    defense = Federated(sites=2, **SMALL)
    unbroken, fitted = fit(defense, tmp_path / "whole")
    plans = Federated._plan

    def killed(self, rate, noise, lr):
        if lr < self.lr:
            raise KeyboardInterrupt
        return plans(self, rate, noise, lr)

    monkeypatch.setattr(Federated, "_plan", killed)
    with pytest.raises(KeyboardInterrupt):
        fit(defense, tmp_path / "broken")
    monkeypatch.undo()
    resumed, again = fit(defense, tmp_path / "broken")
    assert all(torch.equal(one, resumed.state_dict()[name]) for name, one in unbroken.state_dict().items())
    assert again.history == fitted.history
    with pytest.raises(ReidbenchError, match="another training"):
        fit(Federated(sites=3, **SMALL), tmp_path / "broken")


def test_the_undefended_network_is_trained_as_long_at_one_site() -> None:
    plain = Federated(sites=8, epsilon=2.0, max_grad_norm=0.5, **SMALL).undefended()
    assert (plain.sites, plain.rounds, plain.steps, plain.epsilon) == (1, 1, 4, "inf")
    assert plain.undefended() == plain


def test_more_sites_than_patients_are_refused(tmp_path) -> None:
    with pytest.raises(ReidbenchError, match=r"federated: sites=13: a site has none of the 12 patients; give fewer"):
        fit(Federated(sites=13, **SMALL), tmp_path)
