"""k-anonymity by averaging in the latent space of an autoencoder."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from reidbench import EmbeddingNet, Field, FitData, FittedCohortDefense, History, learn, round_grey
from reidbench_plugins._decoder import Decoder
from reidbench_plugins._patients import Patients


class LatentKSame(FittedCohortDefense):
    """Clusters patients whose latent codes are alike, at least k of them, and publishes what the mean code decodes to.

    In the spirit of k-SALSA (Jeon, Park, Kim, Morley and Cho, "k-SALSA: k-anonymous synthetic averaging of retinal
    images via local style alignment", 2022, arXiv 2303.10824): k-Same in the latent space of a network, in place of
    pixels, so that averages look like images. They invert a GAN; here a small autoencoder learns to return the mean
    images of the patients of the train split (mean squared error, Adam). It never trains on what is published.

    A patient's code is that of their mean image; clusters are those of k_same_pixel, by codes. ``detail`` adds that
    share of what the decoder loses of the cluster's mean image, where k-SALSA aligns local style: an average of at
    least k patients too. All images of a cluster's patients are published as one and the same image.

    Among the patients of a closed set the chance to name one drawn evenly is at most 1/k, as of k_same_pixel, with its
    limits: unequal numbers of images, and two releases that can be intersected. It is not differentially private, and
    patients of the train split, whose images shape the decoder, are not protected by k.

    Images are decoded at ``side`` × ``side`` pixels and enlarged.
    """

    name = "latent_k_same"
    family = "k-same"
    operating_points = {"mild": {"k": 2}, "moderate": {"k": 3}, "strong": {"k": 5}, "severe": {"k": 10}}
    k: int = Field(5, ge=2, le=10_000, description="smallest number of patients in a cluster; 1 would hide nobody")
    code: int = Field(64, ge=1, le=1024, description="numbers of a code")
    detail: float = Field(0.0, ge=0, le=1, description="share of the mean image's local detail that is put back")
    side: int = Field(64, ge=16, le=1024, description="width and height in pixels that images are decoded at")
    epochs: int = Field(60, ge=1, le=10_000, description="passes over the patients of the train split")
    lr: float = Field(2e-3, ge=1e-6, le=0.1, description="Adam's learning rate")
    width: int = Field(16, ge=1, le=256, description="channels of the decoder")

    def build(self) -> nn.Module:
        """Encoder and decoder."""
        return Autoencoder(self.code, self.width, self.side)

    def fit(
        self,
        network: nn.Module,
        data: FitData,
        *,
        seed: int,
        device: torch.device,
        work_dir: Path,
        progress: Any = None,
    ) -> History:
        """Learns to return the mean image of each patient."""
        assert isinstance(network, Autoencoder)
        people = Patients(data.pixels, data.patients)
        means = np.stack([round_grey(people.mean(number)) for number in range(len(people))])

        def loss(images: torch.Tensor, rows: Any) -> torch.Tensor:
            small = network.reduced(images)
            return F.mse_loss(network.decoder(network.encoder(small)), small)

        return learn(
            network,
            loss,
            means,
            epochs=self.epochs,
            lr=self.lr,
            seed=seed,
            device=device,
            work_dir=work_dir,
            progress=progress,
        )

    def transform_cohort(
        self, pixels: NDArray[np.uint8], patients: NDArray[np.int64], *, rng: torch.Generator
    ) -> NDArray[np.uint8]:
        """Returns decoded cluster means: (N, H, W) uint8.

        Raises:
            ReidbenchError: there are fewer than k patients.
        """
        network = self.network
        assert isinstance(network, Autoencoder)
        device = next(network.parameters()).device
        people = Patients(pixels, patients)
        people.require(self.k)

        def unit(mean: NDArray[np.float64]) -> torch.Tensor:
            return torch.from_numpy((mean / 255).astype(np.float32))[None, None].to(device)

        def decoded(codes: torch.Tensor) -> torch.Tensor:
            return F.interpolate(network.decoder(codes), pixels.shape[1:], mode="bilinear")

        out = np.empty_like(pixels)
        with torch.no_grad():
            # One by one, so that no code depends on which patients go together.
            codes = torch.cat([network.encoded(unit(people.mean(number))) for number in range(len(people))])
            for cluster in people.clusters(codes.cpu().numpy(), self.k, rng):
                made = decoded(codes[cluster].mean(0, keepdim=True))
                if self.detail:
                    mean = unit(np.mean([people.mean(number) for number in cluster], axis=0))
                    made = made + self.detail * (mean - decoded(network.encoded(mean)))
                people.publish(cluster, 255 * made[0, 0].double().clamp(0, 1).cpu().numpy(), out)
        return out


class Autoencoder(nn.Module):
    """Images to codes, and codes to images of ``side`` × ``side`` pixels."""

    def __init__(self, code: int, width: int, side: int) -> None:
        super().__init__()
        self._side = side
        self.encoder = EmbeddingNet("resnet_small_8", dimensions=code, grid=4)
        self.decoder = Decoder(code, width, side, side)

    def reduced(self, images: torch.Tensor) -> torch.Tensor:
        """Images (B, 1, H, W) at the side that codes are made of."""
        return F.interpolate(images, (self._side, self._side), mode="area")

    def encoded(self, images: torch.Tensor) -> torch.Tensor:
        """Codes (B, code) of images (B, 1, H, W)."""
        codes: torch.Tensor = self.encoder(self.reduced(images))
        return codes
