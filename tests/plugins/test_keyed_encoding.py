"""keyed_encoding: what its key is, what is trained around it, and that the findings are learnt all the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from reidbench import LabelledImages
from reidbench.defenses.model import fit_model, published_vectors
from reidbench_plugins.keyed_encoding import KeyedEncoding

CPU = torch.device("cpu")
SMALL = {"width": 4, "side": 16, "dimensions": 8, "epochs": 2, "lr": 0.01}


def bright_or_dark(count: int = 48) -> LabelledImages:
    """Images whose finding is where they are bright."""
    rng = np.random.default_rng(0)
    findings = rng.integers(0, 2, (count, 1)).astype(np.float64)
    pixels = rng.integers(0, 60, (count, 24, 24), dtype=np.uint8)
    for image, (finding,) in zip(pixels, findings):
        image[:12] += np.uint8(120 * finding)
        image[12:] += np.uint8(120 * (1 - finding))
    return LabelledImages(pixels, np.arange(count) // 2, findings, population=count // 2)


def fitted(defense: KeyedEncoding, folder: Path, seed: int = 0):
    return fit_model(defense, bright_or_dark(), seed=seed, device=CPU, work_dir=folder)


def test_the_key_is_orthogonal_follows_from_the_seed_and_is_not_trained(tmp_path: Path) -> None:
    defense = KeyedEncoding(**SMALL, layers=3)
    network, result = fitted(defense, tmp_path / "one")
    other, _ = fitted(defense.model_copy(update={"epochs": 1, "lr": 1e-4}), tmp_path / "two")
    third, _ = fitted(defense, tmp_path / "three", seed=1)
    keys = [name for name, _ in network.named_buffers() if name.startswith(("turn", "offset"))]
    assert len(keys) == 6
    for name in keys:
        assert torch.equal(network.get_buffer(name), other.get_buffer(name)), "whatever is trained around it"
        assert not torch.allclose(network.get_buffer(name), third.get_buffer(name))
        assert name not in dict(network.named_parameters())
    for number in range(3):
        turn = network.get_buffer(f"turn{number}")
        assert (turn @ turn.T).numpy() == pytest.approx(np.eye(8), abs=1e-5)
    assert not torch.equal(network.get_buffer("turn0"), network.get_buffer("turn1"))
    assert result.privacy is None
    assert len(result.history) == 2


def test_vectors_go_through_every_random_layer(tmp_path: Path) -> None:
    network, _ = fitted(KeyedEncoding(**SMALL, layers=2), tmp_path)
    pixels = bright_or_dark().pixels[:4]
    before = published_vectors(KeyedEncoding(), network, pixels, device=CPU)
    assert before.shape == (4, 8)
    for name in ("turn0", "turn1", "offset1"):
        kept = network.get_buffer(name).clone()
        network.get_buffer(name).neg_()
        assert not np.allclose(published_vectors(KeyedEncoding(), network, pixels, device=CPU), before)
        network.get_buffer(name).copy_(kept)


def test_the_findings_are_learnt_through_random_layers(tmp_path: Path) -> None:
    defense = KeyedEncoding(**SMALL | {"epochs": 25}, layers=2)
    network, result = fitted(defense, tmp_path)
    assert result.learned
    train = bright_or_dark()
    vectors = published_vectors(defense, network, train.pixels, device=CPU)
    logits = network.classify(torch.from_numpy(vectors))[:, 0].detach().numpy()
    assert ((logits > 0) == (train.findings[:, 0] == 1)).mean() > 0.9


def test_undefended_is_the_same_without_a_key() -> None:
    plain = KeyedEncoding(layers=4, width=16).undefended()
    assert plain == KeyedEncoding(layers=0, width=16)
    assert plain.undefended() == plain
