"""A learning rate by a range test, as the paper found its own."""

from __future__ import annotations

import contextlib
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path

import lightning
import numpy as np
import torch
from lightning.pytorch.tuner import Tuner

from reidbench.errors import ReidbenchError
from reidbench.files import write_json
from reidbench.networks.trainer import quiet
from reidbench.networks.training import Precision, in_one_order, seed_of

#: Rates that are tried, a batch each; the paper's 0.1584 is 10^-0.8, one of these hundred.
LOWEST, HIGHEST, RATES = 1e-8, 1.0, 100
#: Rates at either end that are not looked at: the running mean of the loss has not settled, or the loss leaps.
SKIPPED = (10, 1)
KEPT = "range-test.json"


def find_rate(
    module: lightning.LightningModule,
    *,
    seed: int,
    device: torch.device,
    work_dir: Path,
    precision: Precision = "32-true",
) -> float:
    """The rate at which the loss falls most steeply (Smith 2017), by Lightning's tuner.

    The module's weights are as before afterwards. What was found is kept in ``work_dir``: a training that is resumed
    goes on with the rate that it began with.

    Raises:
        ReidbenchError: the loss falls at no rate.
    """
    work_dir.mkdir(parents=True, exist_ok=True)
    kept = work_dir / KEPT
    if kept.is_file():
        return float(json.loads(kept.read_text())["lr"])
    # The tuner has a progress bar of its own, which nothing turns off.
    with (
        quiet(),
        contextlib.redirect_stderr(io.StringIO()),
        in_one_order(),
        torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
    ):
        torch.manual_seed(seed_of(seed, "range test"))
        trainer = lightning.Trainer(
            accelerator="gpu" if device.type == "cuda" else "cpu",
            devices=[device.index or 0] if device.type == "cuda" else 1,
            # The tuner counts batches, not epochs.
            max_epochs=-1,
            precision=precision,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            reload_dataloaders_every_n_epochs=1,
            use_distributed_sampler=False,
            default_root_dir=work_dir,
        )
        found = Tuner(trainer).lr_find(module, min_lr=LOWEST, max_lr=HIGHEST, num_training=RATES, update_attr=False)
    rate = steepest(found.results["lr"], found.results["loss"]) if found is not None else None
    if rate is None:
        raise ReidbenchError("the range test found no learning rate at which the loss falls; give one with lr=…")
    write_json(kept, {"lr": rate})
    return rate


def steepest(rates: Sequence[float], losses: Sequence[float]) -> float | None:
    """The rate at which the loss falls most steeply over the logarithm of the rate; None if it falls nowhere.

    The tuner's own suggestion divides by the distance of two rates, which is a hundred million times smaller at the
    lower end: it takes the noise there for the steepest fall.

    Args:
        rates: rising, each the same multiple of the one before.
        losses: of each; those that are not finite are left out.
    """
    first, last = SKIPPED[0], len(losses) - SKIPPED[1]
    tried = [(rate, loss) for rate, loss in zip(rates[first:last], losses[first:last]) if math.isfinite(loss)]
    if len(tried) < 2:
        return None
    slopes = np.gradient([loss for _, loss in tried])
    best = int(slopes.argmin())
    return float(tried[best][0]) if slopes[best] < 0 else None
