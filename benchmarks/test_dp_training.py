"""DP-SGD's step as a ratio to the same network's plain step, in opacus's modes, all in the same run.

Run with ``pytest benchmarks/test_dp_training.py --benchmark-enable``; the ratios stand in the report's extra
information. One CPU core, the quick preset's network and batch.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from opacus.grad_sample import GradSampleModuleFastGradientClipping
from opacus.optimizers.optimizer_fast_gradient_clipping import DPOptimizerFastGradientClipping
from opacus.utils.fast_gradient_clipping_utils import DPLossFastGradientClipping

from reidbench import LabelledImages, to_unit
from reidbench.dp import quiet_opacus
from reidbench.progress import Silent
from reidbench_plugins._diagnosis import patient_losses
from reidbench_plugins._private import PrivatePlan, PrivateTraining
from reidbench_plugins.dp_training import DpTraining

CPU = torch.device("cpu")
SIZE, BATCH, FINDINGS, STEPS, ROUNDS = 64, 64, 14, 5, 5
MODES = ("hooks", "functorch", "ew", "ghost")


def patients() -> LabelledImages:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (BATCH, SIZE, SIZE), dtype=np.uint8)
    findings = rng.integers(0, 2, (BATCH, FINDINGS)).astype(np.float64)
    return LabelledImages(pixels, np.arange(BATCH), findings, population=BATCH)


def train(mode: str | None) -> None:
    """A few whole steps of the plugin's own training: sampling, augmentation, gradient, clipping, noise, Adam."""
    defense = DpTraining()
    torch.manual_seed(0)
    plan = PrivatePlan(1.0, BATCH, STEPS, 1e-3, 1.0 if mode else None, 1.0, grad_sample_mode=mode or "hooks")
    training = PrivateTraining(defense.network(SIZE, FINDINGS), patients(), plan, seed=0, device=CPU)
    with tempfile.TemporaryDirectory() as folder:
        training.run(Path(folder), Silent())


def gradients(mode: str | None) -> float:
    """Seconds of one step's gradient alone, clipped and noised; the best of several."""
    torch.manual_seed(0)
    network = DpTraining().network(SIZE, FINDINGS)
    data = patients()
    images = to_unit(data.pixels)
    findings = torch.from_numpy(data.findings).float()
    best = float("inf")
    with quiet_opacus():
        step = _ghost(network) if mode == "ghost" else _step(network, mode)
        for _ in range(ROUNDS):
            began = time.process_time()
            step(images, findings)
            best = min(best, time.process_time() - began)
    return best


def _step(network, mode):
    plan = PrivatePlan(1.0, BATCH, 1, 1e-3, 1.0 if mode else None, 1.0, grad_sample_mode=mode or "hooks")
    training = PrivateTraining(network, patients(), plan, seed=0, device=CPU)
    return lambda images, findings: training._step(patient_losses(training.model(images), findings))


def _ghost(network):
    """Norms without gradients, then a second pass of weighted losses (Li et al. 2022)."""
    model = GradSampleModuleFastGradientClipping(network, max_grad_norm=1.0, use_ghost_clipping=True)
    optimizer = DPOptimizerFastGradientClipping(
        torch.optim.Adam(network.parameters(), lr=1e-3),
        noise_multiplier=1.0,
        max_grad_norm=1.0,
        expected_batch_size=BATCH,
    )

    class Loss(torch.nn.Module):
        reduction = "mean"

        def forward(self, logits, findings):
            losses = patient_losses(logits, findings)
            return losses if self.reduction == "none" else losses.mean()

    criterion = DPLossFastGradientClipping(model, optimizer, Loss(), "mean")

    def step(images, findings):
        criterion(model(images), findings).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


@pytest.mark.parametrize("mode", ["hooks", "functorch"])
def test_a_private_step_beside_a_plain_one(benchmark, mode):
    torch.set_num_threads(1)
    train(None), train(mode)
    began = time.process_time()
    train(None)
    plain = time.process_time() - began
    began = time.process_time()
    benchmark.pedantic(train, args=(mode,), rounds=1)
    private = time.process_time() - began
    benchmark.extra_info["seconds_a_step"] = private / STEPS
    benchmark.extra_info["ratio_to_plain"] = private / plain
    # A gradient for each patient costs; a loop over patients would cost the batch's size.
    assert private / plain < BATCH / 4


def test_no_mode_is_much_faster_than_the_one_in_use(benchmark):
    torch.set_num_threads(1)
    plain = gradients(None)
    seconds = {mode: gradients(mode) for mode in MODES}
    benchmark.extra_info.update({f"{mode}_to_plain": took / plain for mode, took in seconds.items()})
    benchmark.pedantic(gradients, args=(PrivatePlan.grad_sample_mode,), rounds=1)
    assert seconds[PrivatePlan.grad_sample_mode] < 1.5 * min(seconds.values())
