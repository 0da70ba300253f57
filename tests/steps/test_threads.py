"""A training ends with the same weights, however many threads the process has."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reidbench.networks.history import Training
from reidbench.progress import Silent
from reidbench.steps.cache import StepCache
from reidbench.steps.training import WEIGHTS, cached_training, save_network, threads_key
from reidbench.threads import cpu_capability, one_thread
from reidbench.utility.classifier import ClassifierOptions, fit_classifier

SMALL = ClassifierOptions(batch_size=32, epochs=1, min_steps=6, max_steps=6, grid=2)


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def training(folder, seen, key=None, **options):
    """A real one of a few steps, whose thread count is noted."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, size=(64, 32, 32), dtype=np.uint8)
    labels = rng.integers(0, 2, size=(64, 2)).astype(float)

    def fit(checkpoints, progress) -> tuple[torch.nn.Module, Training]:
        seen.append(torch.get_num_threads())
        device = torch.device("cpu")
        return fit_classifier(SMALL, pixels, labels, seed=0, device=device, work_dir=checkpoints, progress=progress)

    return cached_training(
        StepCache(folder), "classifier", {"of": "a test", **(key or {})}, fit, save_network, **options
    )


def test_threads_of_the_process_do_not_change_a_training(threads, tmp_path):
    made = []
    for number in (1, 2):
        threads(number)
        seen = []
        step = training(tmp_path / str(number), seen).make(Silent())
        assert seen == [1]
        assert torch.get_num_threads() == number
        made.append((step.digest, (step.path / WEIGHTS).read_bytes()))
    assert made[0] == made[1]


def test_a_training_with_all_threads_has_them_in_its_key(threads, tmp_path):
    digests = set()
    for number in (1, 2):
        threads(number)
        seen = []
        step = training(tmp_path, seen, threads_key(), all_threads=True)
        assert step.key["cpu"] == cpu_capability()
        digests.add(step.make(Silent()).digest)
        assert seen == [number]
    assert len(digests) == 2


def test_one_thread_is_for_its_block_alone(threads):
    threads(3)
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 3
