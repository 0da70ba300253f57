"""Linear attackers, fitted in closed form: directions in which patients differ more than their visits do, and PLDA."""

from __future__ import annotations

import time
from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from sklearn.covariance import ledoit_wolf_shrinkage
from torch import nn
from torch.nn import functional

from reidbench.attackers.base import Fixed, Scenario, Side
from reidbench.attackers.heads import NormalizedDistance, PairHead, logistic
from reidbench.attackers.network import NetworkAttacker
from reidbench.attackers.siamese_network import Siamese, validation_auc
from reidbench.errors import ReidbenchError
from reidbench.networks.architectures.backbones import FLAT
from reidbench.networks.architectures.siamese import GridPool
from reidbench.networks.history import Training
from reidbench.networks.training import seed_of, side_generator
from reidbench.progress import Progress, Silent
from reidbench.threads import one_thread

#: Variances below this share of the largest are rounding, and count for nothing.
ROUNDING = 1e-9


class Plda(PairHead):
    """The logarithm of how much likelier two vectors are of one patient than of two (Ioffe 2006).

    In each direction a patient's mean is normal with variance ``ratio``, and a visit differs from it by variance 1.
    The log-likelihood ratio of u and v is a sum over directions of a·u·v − b·(u² + v²) + c, with a, b and c of the
    direction's ratio. It is written as minus a squared distance plus a number of each image, so that
    equal vectors have equal scores to the last bit.
    """

    ratio: torch.Tensor

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        self.register_buffer("ratio", torch.zeros(dimensions))

    def vectors(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Embeddings (B, D) to (B, D + 1): scaled by direction, and at the end what the image adds to any score."""
        spread = 1 + 2 * self.ratio
        scaled = embeddings * (self.ratio / spread / 2).sqrt()
        own = embeddings.square() @ (self.ratio / (spread * (1 + self.ratio)) / 2)
        return torch.cat([scaled, own[:, None]], dim=1)

    def block(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Log-likelihood ratios of all pairs."""
        distance = torch.cdist(a[:, :-1], b[:, :-1], compute_mode="donot_use_mm_for_euclid_dist")
        return a[:, -1:] + b[:, -1] - distance.square() + self._offset()

    def pairs(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Log-likelihood ratios, row by row."""
        distance = (a[:, :-1] - b[:, :-1]).square().sum(dim=1)
        return a[:, -1] + b[:, -1] - distance + self._offset()

    def probability(self, scores: NDArray[np.float32]) -> NDArray[np.float32]:
        """The sigmoid of the ratio's logarithm: P(same) where genuine and impostor pairs are equally frequent."""
        return logistic(scores)

    def _offset(self) -> torch.Tensor:
        return (torch.log1p(self.ratio) - torch.log1p(2 * self.ratio) / 2).sum()


class Projection(nn.Module):
    """(x − mean) @ matrix: features (B, F) to (B, D), in which visits vary by 1 in each direction."""

    mean: torch.Tensor
    matrix: torch.Tensor

    def __init__(self, features: int, dimensions: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("matrix", torch.zeros(features, dimensions))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """The projected features."""
        return (features - self.mean) @ self.matrix


class LinearAttacker(NetworkAttacker):
    """Features of an image that are not trained, and on them a linear map and a score fitted to the train patients.

    The features are brought to their main components, and those to the directions in which patients differ most for
    the spread of a patient's images: whitening within patients and linear discriminant analysis in one. A subclass
    gives the features.
    """

    presets: ClassVar[dict[str, dict[str, Any]]] = {"quick": {}, "standard": {}}

    dimensions: int = Field(128, ge=1, description="directions kept, those first in which patients differ most")
    components: int = Field(512, ge=1, description="principal components of the features that they are made of")
    scoring: Literal["plda", "cosine"] = Field(
        "plda", description="score: log-likelihood ratio, or cosine of the directions"
    )
    most_images: int = Field(
        20_000, ge=4, description="images that it is fitted to at most, of patients drawn at random"
    )

    @abstractmethod
    def features(self, weights: str) -> nn.Module:
        """A module from images (B, 1, H, W) in [0, 1] to features (B, F), as it is used, with an attribute ``width``.

        Its ``width`` is F. It may draw from torch's global generator.
        """

    def first_weights(self) -> str:
        """What :meth:`features` is given before a fit.

        Raises:
            ReidbenchError: they have to be named.
        """
        return "random"

    def head(self) -> PairHead:
        """PLDA, or minus the distance of vectors of length 1."""
        return Plda(self.dimensions) if self.scoring == "plda" else NormalizedDistance()

    def model(self, weights: str) -> Siamese:
        """The features with a map of zeros behind them."""
        features = self.features(weights)
        width = features.width
        assert isinstance(width, int)
        return Siamese(nn.Sequential(features, Projection(width, self.dimensions)), self.head())

    def about(self) -> dict[str, str]:
        """What a weights file must say of itself to be read."""
        return {"attacker": self.name, "shape": f"{self.dimensions}, {self.scoring}"}

    def fit(
        self,
        train: Scenario,
        val: Fixed | None,
        *,
        seed: int,
        device: torch.device,
        work_dir: Path,
        start: Path | None = None,
        progress: Progress | None = None,
    ) -> Training:
        """Fits; see :meth:`Attacker.fit`. It goes on from no weights, and leaves no checkpoint: it is done at once.

        With ``start``, those weights are kept where they do better on the validation patients.
        """
        began = time.monotonic()
        before = self.started(seed, start).to(device).eval() if start is not None else None
        rows = self._rows(train.patients, seed)
        model = self.fresh(seed, weights=self.first_weights()).to(device).eval()
        assert isinstance(model.network, nn.Sequential)
        features, projection = model.network
        assert isinstance(projection, Projection)
        with (progress or Silent()).task(f"fitting {self.name}", len(rows)) as advance:
            found, owners = self._measured(features, train, rows, seed=seed, device=device, advance=advance)
        fitted = directions(found, owners, components=self.components, dimensions=self.dimensions, seed=seed)
        for buffer, value in ((projection.mean, fitted.mean), (projection.matrix, fitted.matrix)):
            buffer.copy_(torch.from_numpy(value))
        if isinstance(model.head, Plda):
            model.head.ratio.copy_(torch.from_numpy(fitted.ratio))
        row = {"epoch": 1.0}
        if val is not None:
            reached = validation_auc(model, val, device)
            old = validation_auc(before, val, device) if before is not None else None
            if old is not None and reached is not None and old > reached:
                self.keep(before or model)
                return Training(0, 0, time.monotonic() - began, [{"epoch": 0.0, "val_auc": old}], True, kept_start=True)
            row |= {"val_auc": reached} if reached is not None else {}
        self.keep(model)
        return Training(1, len(found), time.monotonic() - began, [row], learned=bool(fitted.ratio[0] > 0))

    def _rows(self, patients: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
        counts = np.bincount(patients) if len(patients) else np.zeros(0, dtype=np.int64)
        several = int((counts > 1).sum())
        if not several or np.count_nonzero(counts) < 2:
            raise ReidbenchError(
                f"cannot train a re-identification attacker: {several} of the {np.count_nonzero(counts)} patients to "
                "train on have two images or more; it takes a pair of images of one patient, and a second patient"
            )
        if len(patients) <= self.most_images:
            return np.arange(len(patients))
        # Those with several images alone: they say how visits differ.
        order = np.random.default_rng(seed_of(seed, "patients")).permutation(np.flatnonzero(counts > 1))
        taken = max(2, int(np.searchsorted(np.cumsum(counts[order]), self.most_images, side="right")))
        return np.flatnonzero(np.isin(patients, order[:taken]))

    def _measured(
        self,
        features: nn.Module,
        train: Scenario,
        rows: NDArray[np.int64],
        *,
        seed: int,
        device: torch.device,
        advance: Any,
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Features of the images as they are held, and of those that are published otherwise, with their patients."""
        generators = {name: side_generator(seed, name) for name in ("probe", "gallery")}
        found, owners = [], []

        def add(images: torch.Tensor, index: NDArray[np.int64]) -> None:
            with torch.no_grad():
                found.append(features(images).float().cpu().numpy())
            owners.append(train.patients[index])

        def view(side: Side, name: str, index: NDArray[np.int64]) -> torch.Tensor:
            return side(index, generator=generators[name], device=device)

        for index in np.array_split(rows, -(-len(rows) // self.embedded_at_once())):
            probe, gallery = view(train.probe, "probe", index), view(train.gallery, "gallery", index)
            add(probe, index)
            # An image that is published as it is held says nothing twice.
            other = (probe != gallery).flatten(1).any(dim=1).cpu().numpy()
            if other.any():
                add(gallery[torch.from_numpy(other).to(device)], index[other])
            advance(len(index))
        return np.concatenate(found), np.concatenate(owners)


@dataclass(frozen=True)
class Directions:
    """What is fitted: :class:`Projection` and :class:`Plda`.

    Attributes:
        mean: (F,) of the features.
        matrix: (F, D); zeros in the last columns where there are fewer directions.
        ratio: (D,) variance of patients' means over that of a patient's images, falling; zero where there is none.
    """

    mean: NDArray[np.float32]
    matrix: NDArray[np.float32]
    ratio: NDArray[np.float32]


def directions(
    features: NDArray[np.float32], patients: NDArray[np.int64], *, components: int, dimensions: int, seed: int
) -> Directions:
    """The directions in which patients differ most for the spread of their own images.

    The covariance within patients comes from those with several images, and is drawn towards a multiple of the
    identity by as much as Ledoit and Wolf (2004) find best. The covariance between patients is that of their means,
    less what the spread within them adds to it.

    Args:
        features: (N, F).
        patients: (N,), one of them at least with two rows, and two of them at least.
        components: principal components at most.
        dimensions: D.
        seed: of the randomized decomposition (Halko et al. 2011).
    """
    _, owners, counts = np.unique(patients, return_inverse=True, return_counts=True)
    with one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(seed, "components"))
        mean = features.mean(axis=0)
        centred = torch.from_numpy(features - mean)
        rank = min(components, len(features) - 1, features.shape[1])
        _, scale, main = torch.svd_lowrank(centred, q=rank, niter=4)
        main = main[:, scale.square() > ROUNDING * scale[0].square().clamp(min=1e-12)].double()
        if not main.shape[1]:
            return Directions(
                mean, np.zeros((features.shape[1], dimensions), np.float32), np.zeros(dimensions, np.float32)
            )
        reduced = centred.double() @ main
        means = torch.zeros(len(counts), reduced.shape[1], dtype=torch.double)
        means.index_add_(0, torch.from_numpy(owners), reduced)
        means /= torch.from_numpy(counts)[:, None]
        left = (reduced - means[owners])[counts[owners] > 1]
        # Of n images of a patient, n − 1 differences are free.
        freedom = int((counts[counts > 1] - 1).sum())
        within = left.T @ left / freedom
        even = torch.eye(len(within), dtype=torch.double) * within.trace() / len(within)
        drawn = ledoit_wolf_shrinkage(left.numpy(), assume_centered=True)
        within = (1 - drawn) * within + drawn * even
        spread = means - means.mean(dim=0)
        between = spread.T @ spread / (len(means) - 1) - within * float((1 / counts).mean())
        values, vectors = torch.linalg.eigh(within)
        largest = values[-1].clamp(min=1e-12)
        whitening = vectors / values.clamp(min=1e-6 * largest).sqrt()
        ratio, turned = torch.linalg.eigh(whitening.T @ between @ whitening)
        order = ratio.argsort(descending=True)[:dimensions]
        ratio, matrix = ratio[order].clamp(min=0), main @ whitening @ turned[:, order]
    matrix = functional.pad(matrix * (ratio > 0), (0, dimensions - len(ratio)))
    ratio = functional.pad(ratio, (0, dimensions - len(ratio)))
    return Directions(mean, matrix.float().numpy(), ratio.float().numpy())


class Cells(nn.Module):
    """Means of ``grid`` × ``grid`` parts of an image, their mean and deviation over the image taken out."""

    def __init__(self, grid: int) -> None:
        super().__init__()
        self.pool = GridPool(grid)
        self.width = grid * grid

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 1, H, W) in [0, 1] to (B, grid²)."""
        cells = self.pool(images).flatten(1)
        deviation, mean = torch.std_mean(cells, dim=1, keepdim=True, correction=0)
        standard: torch.Tensor = (cells - mean) / (deviation + FLAT)
        return standard


class LinearPixels(LinearAttacker):
    """Compares cells of the images by PLDA, without a network: fitted in seconds."""

    name = "plda"

    grid: int = Field(16, ge=2, le=256, description="cells a side that an image is averaged to")

    def features(self, weights: str) -> nn.Module:
        """Cells."""
        return Cells(self.grid)

    def about(self) -> dict[str, str]:
        """What a weights file must say of itself to be read."""
        return {**super().about(), "grid": str(self.grid)}
