"""The Lightning loop that every network here is trained with: silent, seeded, and resumed from where it was killed."""

from __future__ import annotations

import hashlib
import logging
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import lightning
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import Callback, Checkpoint, EarlyStopping, ModelCheckpoint
from torch.backends import cudnn
from torch.multiprocessing import ProcessExitedException, ProcessRaisedException
from torch.utils.data import DataLoader

from reidbench.errors import ReidbenchError
from reidbench.files import replacing
from reidbench.networks.distributed import check_sendable
from reidbench.progress import Progress, Silent
from reidbench.side_generator import SideGenerator

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
LAST = "last.ckpt"
BEST = "best.ckpt"


@dataclass(frozen=True)
class Length:
    """How long a training is.

    Attributes:
        epochs: rounds that each end with a checkpoint.
        steps: batches in a round.
    """

    epochs: int
    steps: int

    @property
    def total(self) -> int:
        """Batches in all."""
        return self.epochs * self.steps


#: A round is no shorter than this many batches, so that a small cohort isn't checkpointed at every other batch.
MIN_ROUND = 25


def length(
    images: int, batch_size: int, *, epochs: float, min_steps: int, max_steps: int, most_rounds: int | None = None
) -> Length:
    """Batches for ``epochs`` passes over ``images``, within [min_steps, max_steps], cut into even rounds.

    A round is about a pass, and longer where there would be more than ``most_rounds``: each ends with a checkpoint.
    """
    a_pass = images / batch_size
    total = round(min(max(epochs * a_pass, min_steps), max_steps))
    rounds = max(1, round(total / max(a_pass, MIN_ROUND)))
    rounds = min(rounds, most_rounds or rounds)
    return Length(epochs=rounds, steps=max(1, round(total / rounds)))


def seed_of(*parts: object) -> int:
    """A seed in [0, 2**63) from any values; near values give unrelated seeds."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def side_generator(seed: int, side: str, *step: int, process: int = 0) -> SideGenerator:
    """The numbers of a side (``probe`` or ``gallery``) of a training step; those of a release are the same for both.

    Args:
        seed: of the training.
        step: its number; none for numbers of a whole pass.
        process: of several that train together, each with draws of its own.
    """
    own = (process,) if process else ()
    return SideGenerator(seed_of(seed, side, *step, *own), seed_of(seed, "release", *step))


def load_in_order(batches: Any) -> DataLoader[Any]:
    """Loads batches that are made already, in their order and unchanged; a process that trains too is sent it whole.

    Args:
        batches: a dataset of batches, or an iterable of them.
    """
    # A named function, since a lambda cannot be sent to another process.
    return DataLoader(batches, batch_size=None, shuffle=False, collate_fn=_unchanged)


def _unchanged(batch: Any) -> Any:
    return batch


def optimizer(
    parameters: list[tuple[str, torch.nn.Parameter]],
    *,
    lr: float,
    weight_decay: float,
    total_steps: int,
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """AdamW under a 1cycle schedule (Smith and Topin 2019); no decay on biases, norms and other vectors."""
    matrices = [p for _, p in parameters if p.requires_grad and p.ndim > 1]
    vectors = [p for _, p in parameters if p.requires_grad and p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    # All tensors in one call: on a CPU one by one they take thrice as long, a thirtieth of a small network's step.
    adamw = torch.optim.AdamW(groups, lr=lr, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        adamw, lr, total_steps=max(total_steps, 10), pct_start=0.2, div_factor=10, final_div_factor=100
    )
    return adamw, schedule


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
    with quiet(), in_one_order(), torch.random.fork_rng(devices=[device] if cuda else []):
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
def in_one_order() -> Iterator[None]:
    """Within it a GPU's convolutions add up in one order: ``identity`` is to train as no defense does."""
    before, cudnn.deterministic = cudnn.deterministic, True
    try:
        yield
    finally:
        cudnn.deterministic = before


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
