"""Undoing the defense: a linear map and a network on top of it, in front of an attacker trained on originals."""

from __future__ import annotations

from collections.abc import Iterator
from math import isqrt
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from safetensors.torch import load_file, save_file
from torch import nn

from reidbench.attackers.base import Scenario, Side, Training
from reidbench.errors import not_finite
from reidbench.images import map_images, to_levels, to_uint8
from reidbench.networks import training
from reidbench.networks.architectures.linear import BeforeAndAfter, LinearMap, fit_linear, resized
from reidbench.networks.architectures.restorer import Restorer
from reidbench.progress import Progress

#: A restoration network that errs more than the released images, by this factor, has not learned.
WORSE = 1.5
#: Share of the error that a less simple first guess must take away.
WORTH = 0.1


class RestorerOptions(BaseModel):
    """The restoration network's hyperparameters."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: ClassVar[str] = "restorer"
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "quick": {},
        "standard": {
            "rank": 1024,
            "linear_size": 128,
            "width": 48,
            "fold": 2,
            "epochs": 20,
            "min_steps": 3000,
            "lr": 1e-3,
            "precision": "bf16-mixed",
        },
    }
    # The 2022 paper undoes no defense; its preset uses the strongest restoration.
    presets["paper"] = presets["standard"]

    rank: int = Field(768, ge=0, description="main directions that the linear map keeps; 0: no linear map")
    linear_size: int = Field(64, ge=8, description="the linear map sees larger images averaged down to this size")
    linear_images: int = Field(4000, ge=16, description="images at most that the linear map is fitted to")
    fold: int = Field(4, ge=1, le=8, description="pixels a side that are one place of the first scale")
    width: int = Field(24, ge=1, description="channels of the first scale; twice and four times as many below")
    batch_size: int = Field(32, ge=2, description="images a step")
    epochs: float = Field(3, gt=0, description="passes over the images, within min_steps and max_steps")
    min_steps: int = Field(150, ge=1, description="steps at the least, for small cohorts")
    max_steps: int = Field(50_000, ge=1, description="steps at the most")
    lr: float = Field(1e-2, gt=0, description="peak learning rate of AdamW")
    precision: training.Precision = Field("32-true", description="Lightning's name; mixed precision is for GPUs")


def fit_restorer(
    options: RestorerOptions,
    train: Scenario,
    *,
    seed: int,
    device: torch.device,
    work_dir: Path,
    progress: Progress | None = None,
) -> tuple[Restorer, Training]:
    """Trains a restoration network on an attacker's own patients.

    Args:
        train: ``probe`` gives the originals, ``gallery`` what the defense makes of them, afresh at each call.
        work_dir: for checkpoints; called again with the same one after a kill, it goes on where it was.

    Returns:
        The network, and how it was trained: not at all where nothing was done to the images. ``learned`` is false where
        it ends further from the originals than the images that it restores. A defense that cannot be undone leaves it
        as far as they are, which is no failed training.
    """
    guess = _first_guess(options, train, seed=training.seed_of(seed, "guess"), device=device)
    if guess is None:
        return Restorer(options.width, options.fold), Training(0, 0, 0.0, [], learned=True)
    linear, mix = guess
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(training.seed_of(seed, "restorer"))
        network = Restorer(options.width, options.fold, linear)
    network.mix.copy_(mix)
    images = len(train.patients)
    planned = training.length(
        images,
        options.batch_size,
        epochs=options.epochs,
        min_steps=options.min_steps,
        max_steps=options.max_steps,
    )
    # Lightning takes seconds to import: only where there is something to train.
    from reidbench.attackers.learners.restorer import RestorerLearner
    from reidbench.networks import trainer

    history = trainer.run(
        RestorerLearner(network, train, batch_size=options.batch_size, lr=options.lr, length=planned, seed=seed),
        epochs=planned.epochs,
        steps=planned.steps,
        seed=seed,
        identity={"options": options.model_dump(mode="json"), "seed": seed, "images": images, "size": train.size},
        device=device,
        work_dir=work_dir,
        precision=options.precision,
        progress=progress,
        description="training restorer",
    )
    seconds = float(sum(row["seconds"] for row in history))
    learned = history[-1]["train_loss"] <= WORSE * history[-1]["unrestored_loss"]
    return network, Training(planned.epochs, planned.total * options.batch_size, seconds, history, learned)


def restore(
    network: nn.Module, images: NDArray[np.uint8], *, device: torch.device, batch_size: int = 64
) -> NDArray[np.uint8]:
    """Maps released images (N, H, W) uint8 to restored ones, the same; images that are equal stay equal.

    Batches are filled up to one size, so that an image's result does not depend on how many there are.

    Raises:
        ReidbenchError: the network gives values that are not finite.
    """
    network = network.to(device).eval()

    def restored(batch: torch.Tensor) -> torch.Tensor:
        found = network(batch).float()
        if not bool(torch.isfinite(found).all()):
            raise not_finite("restorer", "restored images")
        return to_uint8(found)

    return map_images(restored, images, device=device, batch_size=batch_size)


@torch.no_grad()
def restore_batch(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Maps released images (B, 1, H, W) in [0, 1] to restored ones, the same, in steps of 1/255 as they are kept."""
    return to_levels(network(images).float())


def save_restorer(network: Restorer, path: Path) -> None:
    """Writes the weights (safetensors)."""
    save_file({name: tensor.cpu().contiguous() for name, tensor in network.state_dict().items()}, path)


def load_restorer(options: RestorerOptions, path: Path) -> Restorer:
    """Reads weights that :func:`save_restorer` wrote, strictly."""
    state = load_file(path)
    linear = None
    if "linear.down" in state:
        pixels, rank = state["linear.down"].shape
        linear = LinearMap(isqrt(pixels), rank)
    network = Restorer(options.width, options.fold, linear)
    network.load_state_dict(state)
    return network


def _first_guess(
    options: RestorerOptions, train: Scenario, *, seed: int, device: torch.device
) -> tuple[LinearMap | None, torch.Tensor] | None:
    """A linear map, and the gain, share and offset that join it with the released image; none that does not pay.

    None where released images are the originals.

    What errs less by a tenth on patients set aside is taken over what is simpler: the released image as it is, then
    with another contrast and brightness, then with the linear map.
    """
    nothing = torch.tensor([1.0, 0.0, 0.0])
    size = min(options.linear_size, train.size)
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(train.patients))[: options.linear_images]
    before, after = (
        torch.cat([resized(batch, size).flatten(1).cpu() for batch in _batches(side, rows, seed, device)])
        for side in (train.probe, train.gallery)
    )
    patients = np.unique(train.patients[rows])
    set_aside = torch.from_numpy(np.isin(train.patients[rows], rng.permutation(patients)[: -(-len(patients) // 10)]))
    known, aside = (BeforeAndAfter(before[chosen], after[chosen]) for chosen in (~set_aside, set_aside))
    if torch.equal(before, after):
        return None
    if len(known.after) < 2:
        return None, nothing
    error = float((after - before)[set_aside].abs().mean())
    found: tuple[LinearMap | None, torch.Tensor] = None, nothing
    linear = fit_linear(known, aside, size=size, rank=options.rank, seed=seed) if options.rank else None
    for candidate in (None, linear) if linear is not None else (None,):
        mix, left = _mixed(candidate, aside, size)
        if left < (1 - WORTH) * error:
            found, error = (candidate, mix), left
    return found


def _mixed(linear: LinearMap | None, aside: BeforeAndAfter, size: int) -> tuple[torch.Tensor, float]:
    """Gain, share and offset by least squares, and the mean absolute error that they leave."""
    seen = [aside.after, torch.ones_like(aside.after)]
    if linear is not None:
        seen.insert(1, linear(aside.after.view(-1, 1, size, size)).flatten(1))
    columns = torch.stack([column.flatten().double() for column in seen], dim=1)
    wanted = aside.before.flatten().double()
    weights = torch.linalg.lstsq(columns.T @ columns, columns.T @ wanted, driver="gelsd").solution
    left = float((columns @ weights - wanted).abs().mean())
    gain, *share, offset = weights.tolist()
    return torch.tensor([gain, *(share or [0.0]), offset]), left


def _batches(side: Side, rows: NDArray[np.int64], seed: int, device: torch.device) -> Iterator[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    for begin in range(0, len(rows), 256):
        yield side(rows[begin : begin + 256], generator=generator, device=device).float()
