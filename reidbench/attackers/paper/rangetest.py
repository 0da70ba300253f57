"""A learning rate by a range test, as the paper found its own."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path

import lightning
import torch
from lightning.pytorch.tuner import Tuner

from reidbench.errors import ReidbenchError
from reidbench.networks.training import quiet, seed_of

#: Rates that are tried, a batch each; the paper's 0.1584 is 10^-0.8, one of these hundred.
LOWEST, HIGHEST, RATES = 1e-8, 1.0, 100
KEPT = "range-test.json"


def find_rate(module: lightning.LightningModule, *, seed: int, device: torch.device, work_dir: Path) -> float:
    """The rate at which the loss falls most steeply (Smith 2017), as Lightning's tuner suggests it.

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
        torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
    ):
        torch.manual_seed(seed_of(seed, "range test"))
        trainer = lightning.Trainer(
            accelerator="gpu" if device.type == "cuda" else "cpu",
            devices=[device.index or 0] if device.type == "cuda" else 1,
            # The tuner counts batches, not epochs.
            max_epochs=-1,
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
    rate = found.suggestion() if found is not None else None
    if rate is None:
        raise ReidbenchError("the range test found no learning rate at which the loss falls; give one with lr=…")
    kept.write_text(json.dumps({"lr": rate}))
    return float(rate)
