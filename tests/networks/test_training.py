from __future__ import annotations

from contextlib import contextmanager
from typing import ClassVar

import lightning
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from reidbench.networks.architectures.siamese import EmbeddingNet, GridPool, embed_images, even_cells
from reidbench.networks.trainer import run
from reidbench.networks.training import length, optimizer, seed_of


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        # 10 passes over 2,560 images in batches of 256: 100 batches; a pass of 10 is too short a round.
        (2560, (4, 25)),
        # 10 passes over 25,600: a round a pass.
        (25_600, (10, 100)),
        # Under the least number of batches, and over the most.
        (100, (2, 30)),
        (10_000_000, (1, 2000)),
    ],
)
def test_length_scales_within_its_bounds(images, expected):
    plan = length(images, 256, epochs=10, min_steps=60, max_steps=2000)
    assert (plan.epochs, plan.steps) == expected


@given(
    images=st.integers(1, 10**6),
    batch=st.integers(8, 512),
    epochs=st.floats(0.1, 100),
    least=st.integers(1, 500),
)
def test_length_is_near_what_was_asked_for(images, batch, epochs, least):
    plan = length(images, batch, epochs=epochs, min_steps=least, max_steps=5000)
    wanted = min(max(epochs * images / batch, least), 5000)
    assert plan.epochs >= 1
    assert plan.steps >= 1
    assert abs(plan.total - wanted) <= 1 + plan.epochs / 2


def test_rounds_grow_where_there_would_be_more_than_asked_for():
    plan = length(7600, 256, epochs=60, min_steps=1, max_steps=10**6, most_rounds=20)
    assert (plan.epochs, plan.steps) == (20, 89)
    assert length(7600, 256, epochs=15, min_steps=1, max_steps=10**6, most_rounds=20).epochs == 15


def test_seeds_are_stable_and_apart():
    assert seed_of(0, "step", 1) == seed_of(0, "step", 1)
    assert len({seed_of(seed, what, step) for seed in range(5) for what in "ab" for step in range(50)}) == 500
    assert 0 <= seed_of() < 2**63


def test_only_matrices_decay_and_the_rate_rises_and_falls():
    network = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3))
    adamw, schedule = optimizer(list(network.named_parameters()), lr=0.01, weight_decay=0.1, total_steps=50)
    by_decay = {group["weight_decay"]: group["params"] for group in adamw.param_groups}
    assert [p.ndim for p in by_decay[0.1]] == [2]
    assert [p.ndim for p in by_decay[0.0]] == [1, 1, 1]
    rates = []
    for _ in range(49):
        rates.append(adamw.param_groups[0]["lr"])
        adamw.step()
        schedule.step()
    assert rates[0] == pytest.approx(0.001)
    assert max(rates) == pytest.approx(0.01)
    assert np.argmax(rates) == 9
    assert adamw.param_groups[0]["lr"] == pytest.approx(0.01 / 10 / 100)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    net = EmbeddingNet("resnet_small_8", dimensions=16)
    with torch.no_grad():
        for _ in range(3):
            net(torch.rand(16, 1, 32, 32))
    return net


def test_embedding_is_the_network_in_evaluation_mode(network):
    images = np.random.default_rng(0).integers(0, 256, (10, 32, 32), dtype=np.uint8)
    vectors = embed_images(network, images, device=torch.device("cpu"), batch_size=4)
    network.eval()
    with torch.no_grad():
        expected = network(torch.from_numpy(images).unsqueeze(1).float() / 255).numpy()
    np.testing.assert_allclose(vectors, expected, rtol=1e-4, atol=1e-5)


@given(
    copies=st.lists(st.integers(0, 3), min_size=1, max_size=20),
    batch_size=st.integers(1, 7),
)
def test_equal_images_have_equal_vectors_wherever_they_stand(network, copies, batch_size):
    originals = np.random.default_rng(1).integers(0, 256, (4, 32, 32), dtype=np.uint8)
    vectors = embed_images(network, originals[copies], device=torch.device("cpu"), batch_size=batch_size)
    for i, a in enumerate(copies):
        for j, b in enumerate(copies):
            assert np.array_equal(vectors[i], vectors[j]) == (a == b)


class Dropping(lightning.LightningModule):
    """A network with dropout, which draws from torch's global generator."""

    def __init__(self, dies_at: int | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = torch.nn.Sequential(torch.nn.Linear(6, 6), torch.nn.Dropout(0.5), torch.nn.Linear(6, 1))
        self._dies_at = dies_at

    def train_dataloader(self):
        batches = [torch.full((4, 6), float(self.current_epoch + i)) for i in range(3)]
        return torch.utils.data.DataLoader(batches, batch_size=None, shuffle=False)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.01)

    def training_step(self, batch, number):
        if self.global_step == self._dies_at:
            raise InterruptedError
        return self.layers(batch).square().mean()


@pytest.mark.parametrize("dies_at", [4, 8])
def test_a_resumed_training_drops_out_what_an_unbroken_one_does(dies_at, tmp_path):
    def trained(module: Dropping, folder: str) -> Dropping:
        options = {"epochs": 4, "steps": 3, "seed": 1, "identity": {}, "device": torch.device("cpu")}
        run(module, **options, work_dir=tmp_path / folder)
        return module

    whole = trained(Dropping(), "a")
    with pytest.raises(InterruptedError):
        trained(Dropping(dies_at), "b")
    resumed = trained(Dropping(), "b")
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)


class TwoSteps(Dropping):
    """Optimized by hand, with two optimizers a batch, as adversaries are."""

    def __init__(self, dies_at: int | None = None) -> None:
        super().__init__()
        self.automatic_optimization = False
        self._left = dies_at

    def configure_optimizers(self):
        return [torch.optim.SGD(self.parameters(), lr=0.01) for _ in range(2)]

    def training_step(self, batch, number):
        if self._left == 0:
            raise InterruptedError
        self._left = None if self._left is None else self._left - 1
        for stepper in self.optimizers():
            loss = self.layers(batch).square().mean()
            stepper.zero_grad()
            self.manual_backward(loss)
            stepper.step()


def test_the_bar_counts_batches_however_many_optimizers_step(tmp_path):
    bars = []

    class Bars:
        def say(self, line):
            raise AssertionError(line)

        @contextmanager
        def task(self, description, total):
            done = []
            bars.append((total, done))
            yield done.append

    options = {"epochs": 4, "steps": 3, "seed": 1, "identity": {}, "device": torch.device("cpu"), "progress": Bars()}
    with pytest.raises(InterruptedError):
        run(TwoSteps(dies_at=7), **options, work_dir=tmp_path)
    run(TwoSteps(), **options, work_dir=tmp_path)
    assert [(total, sum(done)) for total, done in bars] == [(12, 7), (12, 12)]


@pytest.mark.parametrize("shape", [(8, 8), (16, 24), (4, 4)])
def test_a_gpus_cells_are_the_means_of_adaptive_pooling(shape):
    features = torch.rand(3, 5, *shape, dtype=torch.float64).to(memory_format=torch.channels_last)
    expected = torch.nn.functional.adaptive_avg_pool2d(features, 4)
    torch.testing.assert_close(even_cells(features, 4), expected)
    # Without values, the way of a GPU can be walked here: it must not be the CPU's.
    elsewhere = features.to("meta")
    assert GridPool(4)(elsewhere).shape == expected.shape
    assert torch.equal(GridPool(4)(features), expected)


def test_maps_that_do_not_divide_are_pooled_too():
    features = torch.rand(3, 5, 7, 9)
    assert torch.equal(GridPool(4)(features), torch.nn.functional.adaptive_avg_pool2d(features, 4))


def test_a_training_adds_up_in_one_order_and_leaves_others_theirs(tmp_path):
    class Watching(Dropping):
        seen: ClassVar[list[bool]] = []

        def training_step(self, batch, number):
            self.seen.append(torch.backends.cudnn.deterministic)
            return super().training_step(batch, number)

    assert not torch.backends.cudnn.deterministic
    run(Watching(), epochs=1, steps=3, seed=0, identity={}, device=torch.device("cpu"), work_dir=tmp_path)
    assert Watching.seen == [True] * 3
    assert not torch.backends.cudnn.deterministic


def test_a_row_of_the_history_holds_what_its_own_epoch_found(tmp_path):
    class EveryOther(Dropping):
        def on_train_epoch_end(self):
            if self.current_epoch % 2:
                self.log("val_auc", float(self.current_epoch))

    history = run(EveryOther(), epochs=5, steps=3, seed=0, identity={}, device=torch.device("cpu"), work_dir=tmp_path)
    assert [row.get("val_auc") for row in history] == [None, 1.0, None, 3.0, None]


def test_a_checkpoint_asks_no_client_of_an_object_store(tmp_path, monkeypatch):
    from lightning.fabric.utilities import cloud_io

    def asked(files):
        raise AssertionError("it imports the client of every object store that is installed")

    monkeypatch.setattr(cloud_io, "_is_object_storage", asked)
    run(Dropping(), epochs=2, steps=3, seed=0, identity={}, device=torch.device("cpu"), work_dir=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]
