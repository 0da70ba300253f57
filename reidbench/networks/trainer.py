"""The Lightning loop that every network here is trained with: silent, seeded, and resumed from where it was killed.

Lightning takes seconds to import: what trains a network imports this, and what only uses one does not.
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import Callback, Checkpoint, EarlyStopping, ModelCheckpoint
from torch.multiprocessing import ProcessExitedException, ProcessRaisedException

from reidbench.errors import ReidbenchError
from reidbench.files import replacing
from reidbench.heap import freed_kept
from reidbench.networks.distributed import check_sendable
from reidbench.networks.training import Precision, in_one_order, seed_of
from reidbench.progress import Progress, Silent

LAST = "last.ckpt"
BEST = "best.ckpt"


def run(
    module: lightning.LightningModule,
    *,
    epochs: int,
    steps: int,
    seed: int,
    identity: dict[str, Any],
    device: torch.device,
    work_dir: Path,
    devices: int = 1,
    precision: Precision = "32-true",
    gradient_clip: float | None = None,
    patience: int | None = None,
    progress: Progress | None = None,
    description: str = "training",
) -> list[dict[str, float]]:
    """Trains ``module`` for ``epochs`` of ``steps`` batches, and leaves it with its final weights.

    A checkpoint is written to ``work_dir`` after each epoch. Called again with the same ``work_dir``, it goes on from
    there, and on a CPU ends with the same weights as an unbroken training, provided that the module draws its
    randomness from (seed, epoch, step) or from torch's global generator, which is seeded anew at each epoch here and
    given back untouched.

    Args:
        module: gives its batches from ``train_dataloader``, which is asked anew at each epoch.
        identity: what determines the training; a checkpoint of another one is refused.
        devices: GPUs, or CPU processes, that train together (DDP); ``module`` shares out its batches by itself
            (:mod:`reidbench.networks.distributed`). Each is a new process, which the module is pickled for; no bar
            is shown.
        patience: stop after so many epochs without a smaller ``val_loss``, and take the weights of the best one.

    Returns:
        The metrics that the module logged, one row per epoch, with ``epoch`` (from 1) and ``seconds``.

    Raises:
        ReidbenchError: ``work_dir`` holds the checkpoint of another training, or one of several processes failed.
    """
    work_dir.mkdir(parents=True, exist_ok=True)
    keeper = _Keeper(identity, seed)
    last = work_dir / LAST
    resumed = last if last.is_file() else None
    if resumed is not None:
        keeper.check(resumed)
    callbacks: list[Callback] = [keeper]
    if devices > 1:
        check_sendable(module)
    else:
        callbacks.append(_Bar(progress or Silent(), description, epochs * steps))
    if patience is not None:
        callbacks.append(EarlyStopping("val_loss", patience=patience, check_on_train_epoch_end=True))
        callbacks.append(
            ModelCheckpoint(
                work_dir,
                "best",
                monitor="val_loss",
                save_weights_only=True,
                enable_version_counter=False,
                save_on_train_epoch_end=True,
            )
        )
    # Last of all, so that what the other callbacks know of the epoch is in it.
    callbacks.append(_Last(last))
    cuda = device.type == "cuda"
    with quiet(), in_one_order(), freed_kept(), torch.random.fork_rng(devices=[device] if cuda else []):
        trainer = lightning.Trainer(
            accelerator="gpu" if cuda else "cpu",
            devices=[device.index or 0] if cuda and devices == 1 else devices,
            # New processes, not copies of this one, in which CUDA or OpenMP may have begun.
            strategy="auto" if devices == 1 else "ddp_spawn",
            sync_batchnorm=cuda and devices > 1,
            precision=precision,
            max_epochs=epochs,
            gradient_clip_val=gradient_clip,
            callbacks=callbacks,
            plugins=[_LocalFiles()],
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            reload_dataloaders_every_n_epochs=1,
            use_distributed_sampler=False,
            default_root_dir=work_dir,
        )
        try:
            trainer.fit(module, ckpt_path=resumed, weights_only=True)
        except SystemExit as stop:
            # Lightning turns an interrupt into an exit; the caller needs the interrupt.
            raise KeyboardInterrupt from stop
        except (ProcessRaisedException, ProcessExitedException) as error:
            why = str(error).strip().splitlines()[-1]
            raise ReidbenchError(f"{description} on {devices} devices failed: {why}") from error
        if devices > 1:
            # It was gathered in another process.
            keeper.load_state_dict(
                torch.load(last, map_location="cpu", weights_only=True)["callbacks"][keeper.state_key]
            )
        if patience is not None and (work_dir / BEST).is_file():
            state = torch.load(work_dir / BEST, map_location=module.device, weights_only=True)["state_dict"]
            module.load_state_dict(state)
    module.to(device)
    return keeper.history


class _Keeper(Checkpoint):
    """Seeds each epoch, gathers the history, and keeps it and what the training is in the checkpoint.

    A ``Checkpoint`` by name only: Lightning calls those after the module's own end of an epoch, whose figures are
    wanted here.
    """

    def __init__(self, identity: dict[str, Any], seed: int) -> None:
        self._identity = {key: str(value) for key, value in identity.items()}
        self._seed = seed
        self._began = 0.0
        self._iterated = False
        self._open = ExitStack()
        self.history: list[dict[str, float]] = []

    def setup(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        if trainer.world_size > 1:
            # A worker process has its own loggers; they are silenced until it ends.
            self._open.enter_context(quiet())
            self._open.enter_context(in_one_order())

    def check(self, checkpoint: Path) -> None:
        try:
            callbacks = torch.load(checkpoint, map_location="cpu", weights_only=True)["callbacks"]
            found = callbacks[self.state_key]["identity"]
        except Exception as error:
            raise ReidbenchError(f"{checkpoint}: not a checkpoint of a training; use another folder") from error
        other = sorted(k for k in {*found, *self._identity} if found.get(k) != self._identity.get(k))
        if other:
            raise ReidbenchError(
                f"{checkpoint}: the checkpoint of another training ({', '.join(other)} differ); use another folder"
            )

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._began = time.monotonic()
        # What an earlier epoch found is not this one's.
        trainer.callback_metrics.clear()
        own = (trainer.global_rank,) if trainer.global_rank else ()
        torch.manual_seed(seed_of(self._seed, "epoch", trainer.current_epoch, *own))
        # A loader's iterator takes a number from the generator. Lightning makes that of a process's first epoch before
        # this, and the others after: a resumed epoch takes its number here, so that dropout draws as it would have.
        if not self._iterated and trainer.current_epoch:
            torch.empty((), dtype=torch.int64).random_()
        self._iterated = True

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        row = {"epoch": float(trainer.current_epoch + 1), "seconds": time.monotonic() - self._began}
        row.update({name: float(value) for name, value in trainer.callback_metrics.items()})
        self.history.append(row)

    def state_dict(self) -> dict[str, Any]:
        return {"identity": self._identity, "history": self.history}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.history = list(state_dict["history"])


class _Last(Checkpoint):
    """Writes a checkpoint after each epoch.

    Lightning's own asks of each file whether it lies in an object store, for which it imports the clients of all that
    are installed, anew in each process that trains: more than a second, a tenth of a short training.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        trainer.save_checkpoint(self._path)


class _LocalFiles(TorchCheckpointIO):
    """Writes checkpoints to files of this machine, whole or not at all."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        with replacing(Path(path)) as stream:
            torch.save(checkpoint, stream)


class _Bar(Callback):
    """Advances a bar by one a batch."""

    def __init__(self, progress: Progress, description: str, total: int) -> None:
        self._task = progress.task(description, total)
        self._open = ExitStack()

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._advance = self._open.enter_context(self._task)
        # Not global_step, which counts every optimizer's.
        self._advance(trainer.fit_loop.epoch_loop.batch_progress.total.completed)

    def on_train_batch_end(self, *args: Any, **kwargs: Any) -> None:
        self._advance(1)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._open.close()

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        self._open.close()


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps Lightning from speaking."""
    # Lightning reports through its loggers, and through warnings that address the author of a training loop.
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            yield
    finally:
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)
