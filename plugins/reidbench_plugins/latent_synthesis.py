"""Synthetic images in the place of real ones."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from reidbench import (
    EmbeddingNet,
    Field,
    FitData,
    FittedDefense,
    History,
    ReleaseRandom,
    learn,
    masked_cross_entropy,
    to_unit,
)
from reidbench_plugins._decoder import Decoder

#: Images that are drawn at a time.
BATCH = 128


class LatentSynthesis(FittedDefense):
    """Publishes an image that a generative model draws for the findings of the original, and nothing else of it.

    A conditional variational autoencoder (Kingma and Welling, 2014; Sohn, Lee and Yan, 2015) learns images and their
    findings from the train split. In place of an image it publishes one that it draws from the prior for the image's
    findings. A mechanism is not told these: a classifier that learns from the train split beside the model reads them,
    with thresholds at which each finding is as frequent as it is there. All that a release takes from an image is that
    list of yes and no.

    What can leak is the train split, whose patients the model may remember: a record states how many of the published
    images are copies of them. Who is in the train split is not protected: no formal guarantee.

    Images are drawn at ``side`` × ``side`` pixels and enlarged. They are blurred, as of any small model of this kind.
    The operating points differ in how narrow the latent space is, that is in how much of an image it can hold.
    """

    name = "latent_synthesis"
    family = "synthetic"
    operating_points = {
        "mild": {"latent": 128},
        "moderate": {"latent": 32},
        "strong": {"latent": 16},
        "severe": {"latent": 4},
    }
    latent: int = Field(32, ge=1, le=4096, description="numbers of the latent space")
    beta: float = Field(1.0, ge=0, le=1000, description="weight of the divergence from the prior")
    findings: int = Field(14, ge=1, le=64, description="findings that the model knows at most, the dataset's first")
    side: int = Field(64, ge=8, le=1024, description="width and height in pixels that images are drawn at")
    epochs: int = Field(20, ge=1, le=1000, description="passes over the train split")
    features: int = Field(32, ge=1, le=256, description="channels of the decoder")
    backbone: str = Field("resnet_small", description="of encoder and classifier: resnet_small, a torchvision name")
    grid: int = Field(8, ge=1, le=16, description="cells a side that their feature maps are averaged into")

    def build(self) -> nn.Module:
        """Encoder, decoder and the classifier that reads findings."""
        return Networks(self.backbone, self.grid, self.latent, self.findings, self.features, self.side)

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
        """Trains the model."""
        assert isinstance(network, Networks)
        pixels, known = data.pixels, np.full((len(data), self.findings), np.nan, dtype=np.float32)
        some = min(self.findings, data.labels.shape[1])
        known[:, :some] = data.labels[:, :some]
        labels = torch.from_numpy(known)

        def loss(images: torch.Tensor, rows: Any) -> torch.Tensor:
            truth = labels[rows].to(images.device)
            read = masked_cross_entropy(network.reader(images), truth) if bool((~truth.isnan()).any()) else 0.0
            small = F.interpolate(images, (self.side, self.side), mode="area")
            mean, spread = network.encoder(images).chunk(2, dim=1)
            spread = spread.clamp(-10, 10)
            latent = mean + (0.5 * spread).exp() * torch.randn_like(mean)
            drawn = network.draw(latent, truth.nan_to_num(0.5))
            # Both for a pixel: squared errors in units of a deviation of 0.1, as if the image were drawn with it.
            error = 0.5 * F.mse_loss(drawn, small) / 0.1**2
            apart = 0.5 * (mean**2 + spread.exp() - 1 - spread).sum(dim=1).mean() / small[0].numel()
            return error + self.beta * apart + read

        history = learn(
            network, loss, pixels, epochs=self.epochs, seed=seed, device=device, work_dir=work_dir, progress=progress
        )
        network.to(device).eval()
        with torch.no_grad():
            self._set_thresholds(network, pixels, labels, device)
        return history

    def transform(self, images: torch.Tensor, *, rng: ReleaseRandom) -> torch.Tensor:
        """Draws an image for the findings of each: (B, 1, H, W)."""
        network = self.network
        assert isinstance(network, Networks)
        if not len(images):
            return images.clone()
        latent = rng.normal_like(images.new_empty(len(images), 1, 1, self.latent))
        # The draws go along as further rows, since images go through one by one.
        width = images.shape[-1]
        rows = -(-self.latent // width)
        noise = F.pad(latent, (0, rows * width - self.latent)).view(-1, 1, rows, width)

        def draw(both: torch.Tensor) -> torch.Tensor:
            seen, drawn = both[:, :, :-rows], both[:, :, -rows:].flatten(1)[:, : self.latent]
            findings = (network.reader(seen) > network.thresholds).to(seen.dtype)
            return F.interpolate(network.draw(drawn, findings), seen.shape[-2:], mode="bilinear").clamp(0, 1)

        return rng.each(torch.cat([images, noise], dim=2), draw)

    def _set_thresholds(
        self, network: "Networks", pixels: NDArray[np.uint8], labels: torch.Tensor, device: torch.device
    ) -> None:
        # Those above which as many logits lie as the finding is frequent; of an unknown finding none.
        logits = torch.cat([network.reader(to_unit(part, device)).cpu() for part in _parts(pixels)])
        for number in range(self.findings):
            rate = labels[:, number].nanmean()
            if not bool(rate.isnan()):
                network.thresholds[number] = torch.quantile(logits[:, number].double(), 1 - float(rate)).float()


class Networks(nn.Module):
    """A conditional variational autoencoder, and a classifier beside it."""

    thresholds: torch.Tensor

    def __init__(self, backbone: str, grid: int, latent: int, findings: int, features: int, side: int) -> None:
        super().__init__()
        self.encoder = EmbeddingNet(backbone, dimensions=2 * latent, grid=grid)
        self.decoder = Decoder(latent + findings, features, side, side)
        self.reader = EmbeddingNet(backbone, dimensions=findings, grid=grid)
        self.register_buffer("thresholds", torch.full((findings,), torch.finfo(torch.float32).max))

    def draw(self, latent: torch.Tensor, findings: torch.Tensor) -> torch.Tensor:
        """Images (B, 1, side, side) in [0, 1] of latent numbers (B, L) and findings (B, F) from 0 to 1."""
        made: torch.Tensor = self.decoder(torch.cat([latent, 2 * findings - 1], dim=1))
        return made


def _parts(pixels: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    return [pixels[start : start + BATCH] for start in range(0, len(pixels), BATCH)]
