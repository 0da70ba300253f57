"""The facts of the paper, one by one: shapes, schedule, losses, presets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy.spatial.distance import cdist
from torch import nn
from torchvision import models
from torchvision.transforms import functional as tv

from reidbench.attackers.heads import NormalizedDistance, SigmoidDifference
from reidbench.attackers.losses import Memory
from reidbench.attackers.paper.contrast_learner import contrastive
from reidbench.attackers.paper.cycle import sgd_1cycle
from reidbench.attackers.paper.jitter import jitter
from reidbench.attackers.paper.networks import RetrievalNet, VerificationNet
from reidbench.attackers.paper.pair_learner import cross_entropy
from reidbench.attackers.paper.rangetest import HIGHEST, LOWEST, RATES
from reidbench.attackers.paper.retrieval import PaperRetrieval
from reidbench.attackers.paper.verification import PaperVerification
from reidbench.attackers.retrieval import Retrieval
from reidbench.attackers.verification import Verification
from reidbench.errors import ReidbenchError
from reidbench.networks.architectures.siamese import resize
from reidbench.plugins import Registry
from reidbench.report.text.describe import as_text
from reidbench.settings import make_settings

CPU = torch.device("cpu")


def settings(tmp_path: Path, preset: str = "paper", **overrides: str):
    return make_settings(
        Registry(),
        preset=preset,
        device=CPU,
        cache=tmp_path,
        overrides={k.replace("__", "."): v for k, v in overrides.items()},
    )


def test_the_preset_trains_the_papers_recipe_under_the_same_names(tmp_path):
    made = settings(tmp_path, verification__lr="1e-3", verification__training_set="fts", verification__pairs="200000")
    verification, retrieval = made.attackers
    assert [type(a) for a in made.attackers] == [PaperVerification, PaperRetrieval]
    assert [a.name for a in made.attackers] == ["verification", "retrieval"]
    assert (verification.lr, verification.training_set, verification.pairs) == (1e-3, "fts", 200_000)
    assert made.size == 1024
    assert retrieval.size is None, "retrieval sees what there is, verification a quarter of it"
    assert [type(a) for a in settings(tmp_path, "quick").attackers] == [Verification, Retrieval]
    with pytest.raises(ReidbenchError, match="grid"):
        settings(tmp_path, verification__grid="4")


def test_what_is_not_overridden_is_the_papers():
    found = PaperVerification().model_dump()
    assert found == {
        "backbone": "resnet50", "weights": "imagenet_v1", "dimensions": 128, "batch_size": 32, "size": 256,
        "training_set": "rnp", "pairs": 800_000, "validation_pairs": 50_000, "lr": 1e-4, "epochs": 100, "patience": 5,
    }  # fmt: skip
    found = PaperRetrieval().model_dump()
    assert found == {
        "backbone": "resnet50", "weights": "imagenet_v1", "dimensions": 128, "batch_size": 32, "size": None,
        "test_size": None, "block": 8, "memory": 128, "frozen_epochs": 30, "epochs": 50, "lr": 0.1584,
        "find_lr": False, "weight_decay": 1e-5, "color_jitter": 0.4, "precision": "16-mixed",
    }  # fmt: skip
    with pytest.raises(ValidationError, match="memory=16 must hold a batch of 32"):
        PaperRetrieval(memory=16)


def test_describe_shows_the_recipes_options_too():
    registry = Registry()
    text = as_text(registry.describe("attacker", "retrieval"), registry.get("attacker", "retrieval"))
    assert "preset paper has options of its own:" in text
    assert "frozen_epochs: " in text


def test_missing_weights_are_one_clear_line(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for name in ("http_proxy", "https_proxy", "HTTPS_PROXY", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with pytest.raises(
        ReidbenchError, match=r"resnet50: its ImageNet weights cannot be downloaded .*path to a"
    ) as error:
        PaperVerification().first(0, None)
    assert "\n" not in str(error.value)
    with pytest.raises(ReidbenchError, match="no weights file nowhere"):
        PaperVerification(weights="nowhere.pth").first(0, None)


def test_the_weights_are_those_that_the_paper_began_with(monkeypatch, tmp_path):
    # What a download would have left, under the name of torchvision's first weights; the second ones are its default.
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    torch.manual_seed(1)
    state = models.resnet50().state_dict()
    place = tmp_path / "hub" / "checkpoints" / Path(models.ResNet50_Weights.IMAGENET1K_V1.url).name
    place.parent.mkdir(parents=True)
    torch.save(state, place)
    model = PaperRetrieval().first(0, None)
    assert torch.equal(model.network.backbone.features[0].weight, state["conv1.weight"])


def test_verification_replaces_the_last_layer_of_resnet_50():
    network = VerificationNet("resnet50", weights="random", dimensions=128).eval()
    assert (network.last.in_features, network.last.out_features) == (2048, 128)
    images = torch.rand(2, 1, 64, 64)
    with torch.no_grad():
        assert network(images).shape == (2, 128)
        pooled = network.backbone.features((images - network.backbone.mean) / network.backbone.std).mean((2, 3))
        torch.testing.assert_close(network(images), network.last(pooled))


@pytest.fixture(scope="module")
def retrieval_net():
    torch.manual_seed(0)
    return RetrievalNet("resnet50", weights="random", dimensions=128).eval()


def test_the_retrieval_head_has_its_exact_shape(retrieval_net):
    narrow = retrieval_net.narrow
    assert (narrow.in_channels, narrow.out_channels, narrow.kernel_size, narrow.bias) == (2048, 100, (1, 1), None)
    described = []
    for layer in retrieval_net.head:
        size = (getattr(layer, name, None) for name in ("num_features", "out_features", "p"))
        described.append((type(layer).__name__, next((found for found in size if found), None)))
    assert described == [
        ("Flatten", None), ("BatchNorm1d", 5000), ("Dropout", 0.5), ("Linear", 2048), ("ReLU", None),
        ("BatchNorm1d", 2048), ("Dropout", 0.25), ("Linear", 128),
    ]  # fmt: skip
    assert [m.in_features for m in retrieval_net.head if isinstance(m, nn.Linear)] == [5000, 2048]


@pytest.mark.parametrize("size", [64, 224])
def test_pooled_maps_are_viewed_as_half_the_channels_at_twice_the_height(retrieval_net, size):
    images = torch.rand(2, 1, size, size)
    with torch.no_grad():
        features = retrieval_net.backbone(images)
        pooled = retrieval_net.pooled(images).numpy()
        assert retrieval_net(images).shape == (2, 128), "any resolution"
    assert pooled.shape == (2, 2048, 10, 5)
    height, width = features.shape[-2:]
    cells = np.empty((2, 4096, 5, 5), dtype=np.float32)
    for i in range(5):
        for j in range(5):
            rows = slice(i * height // 5, -(-(i + 1) * height // 5))
            columns = slice(j * width // 5, -(-(j + 1) * width // 5))
            cell = features[:, :, rows, columns]
            cells[:, :2048, i, j], cells[:, 2048:, i, j] = cell.mean((2, 3)), cell.amax((2, 3))
    # Channel k holds the two neighbours 2k and 2k + 1, the one above the other.
    np.testing.assert_allclose(pooled[:, :, :5], cells[:, 0::2], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(pooled[:, :, 5:], cells[:, 1::2], rtol=1e-5, atol=1e-6)


def test_images_are_brought_to_a_networks_size_without_aliasing():
    stripes = (torch.arange(64) % 2).float().expand(1, 1, 64, 64)
    assert resize(stripes, 64) is stripes
    assert resize(stripes, None) is stripes
    small = resize(stripes, 16)
    assert small.shape == (1, 1, 16, 16)
    torch.testing.assert_close(small[..., 2:-2], torch.full((1, 1, 16, 12), 0.5), atol=0.05, rtol=0)


def test_the_cycle_goes_through_the_papers_values():
    network = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    total, peak = 1000, 0.1584
    sgd, schedule = sgd_1cycle(list(network.parameters()), peak=peak, l2=1e-5, steps=total)
    rates, momenta = [], []
    for _ in range(total):
        rates.append(sgd.param_groups[0]["lr"])
        momenta.append(sgd.param_groups[1]["momentum"])
        sgd.step()
        schedule.step() if len(rates) < total else None
    top = 0.3 * total - 1

    def cosine(a: float, b: float, part: float) -> float:
        return b + (a - b) / 2 * (1 + np.cos(np.pi * part))

    for step in range(total):
        if step <= top:
            rate, momentum = cosine(peak / 25, peak, step / top), cosine(0.95, 0.85, step / top)
        else:
            part = (step - top) / (total - 1 - top)
            rate, momentum = cosine(peak, peak / 25 / 10_000, part), cosine(0.85, 0.95, part)
        assert rates[step] == pytest.approx(rate, rel=1e-6)
        assert momenta[step] == pytest.approx(momentum, rel=1e-6)
    assert rates[0] == pytest.approx(0.0063, abs=5e-5)
    assert (max(rates), np.argmax(rates)) == (pytest.approx(0.1584), 299)
    assert (momenta[0], min(momenta), momenta[-1]) == pytest.approx((0.95, 0.85, 0.95))
    by_decay = {group["weight_decay"]: [p.ndim for p in group["params"]] for group in sgd.param_groups}
    assert by_decay == {1e-5: [2], 0.0: [1, 1, 1]}


def test_the_papers_rate_is_one_that_the_range_test_tries():
    tried = LOWEST * (HIGHEST / LOWEST) ** (np.arange(RATES) / RATES)
    assert np.abs(tried - 0.1584).min() < 1e-4


def test_verifications_score_and_loss():
    torch.manual_seed(0)
    head = SigmoidDifference(6)
    z = np.random.default_rng(0).normal(size=(7, 6)).astype(np.float32)
    with torch.no_grad():
        vectors = head.vectors(torch.from_numpy(z))
        block, pairs = head.block(vectors, vectors).numpy(), head.pairs(vectors[:6], vectors[1:])
    expected = 1 / (1 + np.exp(-z.astype(float)))
    weight, bias = head.linear.weight[0].detach().numpy().astype(float), head.linear.bias.item()
    logits = np.abs(expected[:, None] - expected[None]) @ weight + bias
    np.testing.assert_allclose(block, logits, atol=1e-5)
    np.testing.assert_allclose(pairs.numpy(), logits[np.arange(6), np.arange(1, 7)], atol=1e-5)
    same = np.array([1, 0, 0, 1, 1, 0], dtype=bool)
    p = 1 / (1 + np.exp(-logits[np.arange(6), np.arange(1, 7)]))
    assert float(cross_entropy(pairs, torch.from_numpy(same))) == pytest.approx(
        -np.mean(np.log(np.where(same, p, 1 - p))), rel=1e-5
    )


def independent(vectors: np.ndarray, labels: np.ndarray, kept: np.ndarray, kept_labels: np.ndarray, own: np.ndarray):
    """Both terms over the pairs of a batch and the memory, written out; ``own`` are the batch's places in it."""
    unit, other = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (vectors, kept))
    genuine, impostor = [], []
    for i in range(len(unit)):
        for j in range(len(other)):
            if j == own[i]:
                continue
            distance = np.linalg.norm(unit[i] - other[j])
            if labels[i] == kept_labels[j]:
                genuine.append(distance)
            else:
                impostor.append(max(0.0, 1.0 - distance))
    return sum(np.mean([cost for cost in costs if cost > 0]) if any(costs) else 0.0 for costs in (genuine, impostor))


def test_contrast_by_hand():
    # Distances: 1 and 3 are one patient's, at √2; 2 lies at √(2 − √2) < 1 from both.
    vectors = torch.tensor([[2.0, 0.0], [3.0, 3.0], [0.0, 0.5]])
    loss = float(contrastive()(vectors, torch.tensor([0, 1, 0])))
    assert loss == pytest.approx(2**0.5 + 1 - (2 - 2**0.5) ** 0.5, rel=1e-5)
    # Pairs that cost nothing are not averaged over: a far impostor changes nothing.
    far = torch.cat([vectors, torch.tensor([[-5.0, -5.0]])])
    assert float(contrastive()(far, torch.tensor([0, 1, 0, 2]))) == pytest.approx(loss, rel=1e-5)


def test_the_memory_holds_the_last_four_batches():
    rng = np.random.default_rng(3)
    memory = Memory(contrastive(), 16, 128)
    batches = [(rng.normal(size=(32, 16)).astype(np.float32), rng.integers(0, 8, 32)) for _ in range(7)]
    for number, (vectors, labels) in enumerate(batches):
        loss = float(memory(torch.from_numpy(vectors), torch.from_numpy(labels)))
        last = batches[max(0, number - 3) : number + 1]
        kept, kept_labels = (np.concatenate([batch[part] for batch in last]) for part in (0, 1))
        assert memory.held == len(kept) <= 128
        own = len(kept) - 32 + np.arange(32)
        assert loss == pytest.approx(independent(vectors, labels, kept, kept_labels, own), rel=1e-4)


def test_retrieval_ranks_by_the_euclidean_distance_of_unit_vectors():
    z = np.random.default_rng(1).normal(size=(6, 5)).astype(np.float32)
    head = NormalizedDistance()
    vectors = head.vectors(torch.from_numpy(z))
    unit = z / np.linalg.norm(z, axis=1, keepdims=True)
    np.testing.assert_allclose(head.block(vectors, vectors).numpy(), -cdist(unit, unit), atol=1e-5)
    np.testing.assert_allclose(
        head.pairs(vectors[:5], vectors[1:]), -np.linalg.norm(unit[:5] - unit[1:], axis=1), atol=1e-5
    )


def test_colour_jitter_is_torchvisions():
    images = torch.rand(16, 1, 9, 11)
    changed = jitter(images, 0.4, torch.Generator().manual_seed(5))
    draws = torch.rand((3, 16, 1, 1, 1), generator=torch.Generator().manual_seed(5))
    brightness, contrast = (0.6 + 0.8 * draws[:2]).flatten(1)
    assert 0.6 <= float(brightness.min()) < float(brightness.max()) <= 1.4
    for i, image in enumerate(images):
        if draws[2, i] < 0.5:
            expected = tv.adjust_contrast(tv.adjust_brightness(image, float(brightness[i])), float(contrast[i]))
        else:
            expected = tv.adjust_brightness(tv.adjust_contrast(image, float(contrast[i])), float(brightness[i]))
        torch.testing.assert_close(changed[i], expected, atol=1e-5, rtol=1e-5)
    assert len({bool(order < 0.5) for order in draws[2].flatten()}) == 2
    assert jitter(images, 0, torch.Generator()) is images
