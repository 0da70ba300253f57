"""Fitted defenses: what they are given, what comes of it, and what is broken when they don't keep their promises."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from reidbench import Field, FitData, FittedDefense, PluginError, ReidbenchError
from reidbench.conformance import broken, check_defense
from reidbench.conformance.fitting import small_set
from reidbench.defenses.fitting import fit_defense
from reidbench.defenses.random import ReleaseRandom, TrainingRandom
from reidbench.defenses.release import release

CPU = torch.device("cpu")


class Towards(FittedDefense):
    """Fades every image towards the mean of what it was fitted on."""

    name = "towards"
    deterministic = True
    differentiable = True
    share: float = Field(0.5, ge=0, le=1, description="of the mean")

    def build(self):
        network = nn.Conv2d(1, 1, 1)
        network.register_buffer("level", torch.zeros(()))
        return network

    def fit(self, network, data, *, seed, device, work_dir, progress=None):
        network.level.fill_(float(data.pixels.mean() / 255))
        return [{"epoch": 1.0, "level": float(network.level)}]

    def transform(self, images, *, rng):
        return images + self.share * (self.network.level - images)


def variant(**methods) -> type[FittedDefense]:
    return type("Variant", (Towards,), {"__module__": __name__, "__doc__": "Other.", **methods})


def fitted_with(body):
    """A defense whose fit() is ``body``, then that of Towards."""

    def fit(self, network, data, **keywords):
        made = body(network, data, keywords)
        return Towards.fit(self, network, data, **keywords) if made is None else made

    return variant(fit=fit)


def publish(defense: FittedDefense, pixels: np.ndarray) -> np.ndarray:
    return release(defense, pixels, [str(i) for i in range(len(pixels))], np.arange(len(pixels)), seed=0)


def test_a_fit_leaves_the_defense_as_it_was_and_gives_a_fitted_copy(tmp_path: Path) -> None:
    defense, data = Towards(share=1), small_set()
    fitted, history = fit_defense(defense, data, seed=0, work_dir=tmp_path)
    level = round(float(data.pixels.mean()))
    assert set(np.unique(publish(fitted, data.pixels))) == {level}
    assert history == [{"epoch": 1.0, "level": pytest.approx(level / 255, abs=0.01)}]
    with pytest.raises(ReidbenchError, match="towards: it is neither fitted nor loaded yet"):
        publish(defense, data.pixels)
    assert not fitted.network.training
    assert not any(parameter.requires_grad for parameter in fitted.network.parameters())


def test_what_was_learned_is_kept_in_a_file_the_same_bytes_each_time(tmp_path: Path) -> None:
    data = small_set()
    for name in ("one", "two"):
        fitted, _ = fit_defense(Towards(), data, seed=5, work_dir=tmp_path)
        fitted.save(tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    loaded = Towards().load(tmp_path / "one", device=CPU)
    np.testing.assert_array_equal(publish(loaded, data.pixels), publish(fitted, data.pixels))


@pytest.mark.parametrize("content", [None, b"no weights"])
def test_a_file_that_holds_no_weights_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "file").write_bytes(content)
    with pytest.raises(ReidbenchError, match=r"towards: .*file does not hold its weights"):
        Towards().load(tmp_path / "file", device=CPU)


def test_the_seed_is_a_stream_of_its_own_and_decides_the_first_weights(tmp_path: Path) -> None:
    seen = []
    cls = fitted_with(lambda network, data, keywords: seen.append((keywords["seed"], float(network.weight.detach()))))
    torch.manual_seed(1)
    before = torch.get_rng_state()
    for seed, share in ((0, 0.5), (0, 0.5), (1, 0.5), (0, 1)):
        fit_defense(cls(share=share), small_set(), seed=seed, work_dir=tmp_path)
    assert torch.equal(torch.get_rng_state(), before)
    assert seen[0] == seen[1]
    assert len(set(seen)) == 3, "another seed or option, another stream"
    assert seen[0][0] not in (0, 1)


@pytest.mark.parametrize(
    ("body", "error", "what"),
    [
        (lambda network, data, keywords: data.pixels.fill(0), PluginError, "fit() raised ValueError"),
        (lambda network, data, keywords: network.weight.data.fill_(torch.nan), PluginError, "NaN or infinite weights"),
        (lambda network, data, keywords: "done", PluginError, "a dict an epoch, not str"),
        (lambda network, data, keywords: [{"loss": "low"}], PluginError, "loss='low'"),
        (lambda network, data, keywords: 1 / 0, PluginError, "fit() raised ZeroDivisionError"),
    ],
)
def test_a_broken_fit_is_named(tmp_path: Path, body, error, what: str) -> None:
    def silenced(network, data, keywords):
        made = body(network, data, keywords)
        return None if isinstance(made, torch.Tensor) else made

    data = small_set()
    with pytest.raises(error) as caught:
        fit_defense(fitted_with(silenced)(), data, seed=0, work_dir=tmp_path)
    assert str(caught.value).startswith("towards: ")
    assert what in str(caught.value)
    np.testing.assert_array_equal(data.pixels, small_set().pixels)


def test_a_refusal_is_no_broken_promise(tmp_path: Path) -> None:
    def refuse(network, data, keywords):
        raise ReidbenchError("no finding is known")

    with pytest.raises(ReidbenchError, match=r"^towards: no finding is known") as caught:
        fit_defense(fitted_with(refuse)(), small_set(), seed=0, work_dir=tmp_path)
    assert not isinstance(caught.value, PluginError)


def test_a_good_one_conforms() -> None:
    findings = check_defense(Towards)
    assert not broken(findings)
    properties = {finding.property for finding in findings}
    assert {"fit", "fit determinism", "fit resumption", "save and load", "deterministic", "order"} <= properties


def keeps_outside(network, data, keywords):
    network.cache = float(np.random.default_rng().random())  # No part of the state.
    network.level.fill_(network.cache)
    return [{}]


LEARNED_OUTSIDE: dict[str, float] = {}


@pytest.mark.parametrize(
    ("cls", "name"),
    [
        (fitted_with(keeps_outside), "fit determinism"),
        (fitted_with(lambda network, data, keywords: random.random() and None), "fit global randomness"),
        (fitted_with(lambda network, data, keywords: 1 / 0), "fit"),
        (
            fitted_with(
                lambda network, data, keywords: (
                    [{}] if (keywords["work_dir"] / "been").exists() else _mark(keywords["work_dir"])
                )
            ),
            "fit resumption",
        ),
        (
            variant(
                fit=lambda self, network, data, **keywords: LEARNED_OUTSIDE.update({str(id(network)): 0.9}) or [],
                transform=lambda self, images, *, rng: images * LEARNED_OUTSIDE.get(str(id(self.network)), 0.1),
            ),
            "save and load",
        ),
        (variant(transform=lambda self, images, *, rng: rng.uniform_like(images)), "deterministic"),
        (variant(transform=lambda self, images, *, rng: images * 2), "range"),
    ],
)
def test_a_broken_promise_is_found(cls: type[FittedDefense], name: str) -> None:
    found = broken(check_defense(cls))
    assert name in [finding.property for finding in found]
    assert all(finding.message.startswith("towards: ") for finding in found)


def _mark(folder: Path) -> None:
    folder.mkdir()
    (folder / "been").touch()


def test_a_network_sees_images_alone_in_a_release_and_together_in_an_attackers_runs() -> None:
    sizes = []

    def network(images: torch.Tensor) -> torch.Tensor:
        sizes.append(len(images))
        return images * 2

    images = torch.rand(3, 1, 4, 5)
    one_by_one = ReleaseRandom.for_images(0, "abc").each(images, network)
    together = TrainingRandom(torch.Generator(), 3).each(images, network)
    assert sizes == [1, 1, 1, 3]
    assert torch.equal(one_by_one, images * 2)
    assert torch.equal(together, images * 2)


def test_the_small_set_has_what_a_training_needs() -> None:
    data = small_set()
    assert isinstance(data, FitData)
    assert (np.bincount(data.patients) == 2).all()
    assert np.isnan(data.labels).any()
    assert {0, 1} <= set(data.labels[:, 0].tolist())
