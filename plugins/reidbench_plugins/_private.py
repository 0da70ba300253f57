"""The training of the model defenses, with differential privacy by opacus or without.

A loop of our own, not Lightning's: opacus skips and merges the optimizer's steps (virtual batches) and must see every
one of them for its account, which Lightning's automatic optimization, gradient accumulation and hooks get in the way
of; opacus's own Lightning data module samples, and does no more. And its parts, not ``PrivacyEngine``: that one takes
the sampling rate and the scale of the gradient from the length of the data, which here is what is to be kept secret.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from opacus.accountants import create_accountant
from opacus.data_loader import wrap_collate_with_empty
from opacus.grad_sample import AbstractGradSampleModule, wrap_model
from opacus.optimizers import DPOptimizer
from opacus.utils.batch_memory_manager import BatchMemoryManager
from opacus.utils.uniform_sampler import UniformWithReplacementSampler
from opacus.validators import ModuleValidator
from torch import nn
from torch.utils.data import DataLoader, default_collate

from reidbench import LabelledImages, Privacy, Progress, ReidbenchError, beats_frequencies, dp, write_file
from reidbench_plugins._diagnosis import PatientImages, moved, patient_losses

CHECKPOINT = "model.ckpt"


@dataclass(frozen=True)
class PrivatePlan:
    """How the diagnostic network is trained, with differential privacy or without.

    Attributes:
        sample_rate: the probability that a step takes a patient.
        batch_size: patients a step expects, which the sum of gradients is divided by.
        steps: in all.
        lr: of the first step; it falls to 0 in a straight line, which averages the noise of the last steps.
        noise_multiplier: the noise's deviation in units of ``max_grad_norm``; None to train without privacy.
        max_grad_norm: what a patient's gradient is clipped to.
        physical_batch_size: patients through the network at a time, which bounds memory and changes no figure.
        grad_sample_mode: opacus's way to a gradient for each patient.
    """

    sample_rate: float
    batch_size: int
    steps: int
    lr: float
    noise_multiplier: float | None
    max_grad_norm: float
    physical_batch_size: int = 64
    grad_sample_mode: str = "hooks"

    @property
    def epoch(self) -> int:
        """Steps that take every patient once on average."""
        return max(1, round(1 / self.sample_rate))

    def guarantee(self, steps: int, delta: float, unit: str) -> Privacy | None:
        """What so many steps of this plan spend, for the record; None without noise."""
        if self.noise_multiplier is None:
            return None
        return dp.guarantee(
            self.noise_multiplier, self.sample_rate, steps, delta, unit=unit, clipping_norm=self.max_grad_norm
        )


class PrivateTraining:
    """One training, from where its last checkpoint left it.

    Every epoch's draws (whom a step takes, which of their images, how it is moved, the noise) come from generators that
    are seeded for the epoch, so that a training that was killed ends as it would have.
    """

    def __init__(
        self, network: nn.Module, train: LabelledImages, plan: PrivatePlan, *, seed: int, device: torch.device
    ) -> None:
        self.network = network
        self.plan = plan
        self._seed = seed
        self._device = device
        self._sampling, self._drawing, self._moving = (torch.Generator() for _ in range(3))
        self._noise = torch.Generator(device)
        self._data = PatientImages(train, self._drawing)
        if not len(self._data):
            raise ReidbenchError("there is no patient to train on")
        empty = wrap_collate_with_empty(
            collate_fn=default_collate,
            sample_empty_shapes=[(0, 1, *train.pixels.shape[1:]), (0, train.findings.shape[1])],
            dtypes=[torch.float32, torch.float32],
        )
        self._collate: Any = empty
        self.model: nn.Module = network
        self.optimizer: Any = torch.optim.Adam(network.parameters(), lr=plan.lr)
        self.accountant: Any = None
        if plan.noise_multiplier is not None:
            ModuleValidator.validate(network, strict=True)
            with dp.quiet_opacus():
                self.model = wrap_model(
                    network, grad_sample_mode=plan.grad_sample_mode, batch_first=True, loss_reduction="mean"
                )
            assert isinstance(self.model, AbstractGradSampleModule)
            self.model.forbid_grad_accumulation()
            self.optimizer = DPOptimizer(
                self.optimizer,
                noise_multiplier=plan.noise_multiplier,
                max_grad_norm=plan.max_grad_norm,
                expected_batch_size=plan.batch_size,
                loss_reduction="mean",
                generator=self._noise,
            )
            self.accountant = create_accountant(dp.ACCOUNTANT)
            self.optimizer.attach_step_hook(self.accountant.get_optimizer_hook_fn(sample_rate=plan.sample_rate))

    def __len__(self) -> int:
        """Patients to train on."""
        return len(self._data)

    def run(self, work_dir: Path, progress: Progress) -> list[dict[str, float]]:
        """Trains to the end; a row of history an epoch."""
        history = self._resume(work_dir)
        done = sum(int(row["steps"]) for row in history)
        self.network.train()
        with progress.task("training the published model", self.plan.steps) as advance, dp.quiet_opacus():
            advance(done)
            while done < self.plan.steps:
                steps = min(self.plan.epoch, self.plan.steps - done)
                loss = self._epoch(len(history), done, steps)
                done += steps
                advance(steps)
                history.append({"epoch": float(len(history) + 1), "steps": float(steps), "train_loss": loss})
                self._save(work_dir, history)
        if isinstance(self.model, AbstractGradSampleModule):
            self.model.to_standard_module()
        return history

    def _epoch(self, number: int, done: int, steps: int) -> float:
        """The mean loss of an epoch's patients."""
        plan = self.plan
        generators = {
            "sampling": self._sampling,
            "drawing": self._drawing,
            "moving": self._moving,
            "noise": self._noise,
        }
        for what, generator in generators.items():
            generator.manual_seed(seed_of(self._seed, what, number))
        sampler = UniformWithReplacementSampler(
            num_samples=len(self._data), sample_rate=plan.sample_rate, generator=self._sampling, steps=steps
        )
        loader: Any = DataLoader(self._data, batch_sampler=sampler, collate_fn=self._collate, generator=self._moving)
        total, seen, step = 0.0, 0, done
        with self._in_parts(loader) as parts:
            for images, findings in parts:
                for group in self.optimizer.param_groups:
                    group["lr"] = plan.lr * (1 - step / plan.steps)
                losses = self._losses(images.to(self._device), findings.to(self._device))
                total, seen = total + float(losses.detach().sum()), seen + len(losses)
                step += self._step(losses)
        return total / max(1, seen)

    def _losses(self, images: torch.Tensor, findings: torch.Tensor) -> torch.Tensor:
        if not len(images):
            return images.new_zeros(0)
        return patient_losses(self.model(moved(images, self._moving)), findings)

    def _step(self, losses: torch.Tensor) -> int:
        """One part of a batch; 1 where it was the batch's last, and the weights moved."""
        if self.accountant is None:
            # As in a private step, the sum is divided by the expected batch size, not by the actual one.
            if len(losses):
                (losses.sum() / self.plan.batch_size).backward()
                self.optimizer.step()
            self.optimizer.zero_grad()
            return 1
        if len(losses):
            losses.mean().backward()
        else:
            # An empty batch: the noise is added all the same, or the step would reveal that it was empty.
            for weights in self.optimizer.params:
                weights.grad_sample = torch.zeros((0, *weights.shape), device=weights.device)
        self.optimizer.step()
        moved_on = not self.optimizer._is_last_step_skipped
        self.optimizer.zero_grad()
        return int(moved_on)

    @contextmanager
    def _in_parts(self, loader: Any) -> Iterator[Any]:
        # However many patients a step takes, only so many at a time go through the network.
        if self.accountant is None:
            yield loader
            return
        with BatchMemoryManager(
            data_loader=loader, max_physical_batch_size=self.plan.physical_batch_size, optimizer=self.optimizer
        ) as parts:
            yield parts

    def _identity(self) -> dict[str, str]:
        return {name: str(value) for name, value in {**asdict(self.plan), "seed": self._seed}.items()}

    def _resume(self, work_dir: Path) -> list[dict[str, float]]:
        path = work_dir / CHECKPOINT
        if not path.is_file():
            return []
        state = torch.load(path, map_location=self._device, weights_only=True)
        if state["identity"] != self._identity():
            raise ReidbenchError(f"{path}: the checkpoint of another training; use another folder")
        self.network.load_state_dict(state["network"])
        inner = self.optimizer.original_optimizer if self.accountant is not None else self.optimizer
        inner.load_state_dict(state["optimizer"])
        if self.accountant is not None:
            self.accountant.history = [tuple(row) for row in state["account"]]
        history: list[dict[str, float]] = state["history"]
        return history

    def _save(self, work_dir: Path, history: list[dict[str, float]]) -> None:
        inner = self.optimizer.original_optimizer if self.accountant is not None else self.optimizer
        state = {
            "identity": self._identity(),
            "network": self.network.state_dict(),
            "optimizer": inner.state_dict(),
            "account": [list(row) for row in self.accountant.history] if self.accountant is not None else [],
            "history": history,
        }
        write_file(work_dir / CHECKPOINT, partial(torch.save, state))


def learned(history: list[dict[str, float]], findings: torch.Tensor) -> bool:
    """Whether the loss got below that of a network which knows the findings' frequencies and looks at no image.

    Args:
        findings: (N, L) of the training images, NaN where unknown.
    """
    return bool(history) and beats_frequencies(history[-1]["train_loss"], findings, per_image=True)


def seed_of(*parts: object) -> int:
    """A seed in [0, 2**63) from any values."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1
