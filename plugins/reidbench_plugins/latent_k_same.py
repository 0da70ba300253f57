"""k-anonymity by averaging in the latent space of an autoencoder."""

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from reidbench import CohortDefense, EmbeddingNet, Field
from reidbench_plugins._decoder import Decoder
from reidbench_plugins._patients import Patients

#: Images that the autoencoder sees at a step, and that are encoded at a time.
BATCH = 32


class LatentKSame(CohortDefense):
    """Clusters patients whose latent codes are alike, at least k of them, and publishes what the mean code decodes to.

    In the spirit of k-SALSA (Jeon, Park, Kim, Morley and Cho, "k-SALSA: k-anonymous synthetic averaging of retinal
    images via local style alignment", 2022, arXiv 2303.10824): k-Same in the latent space of a network, in place of
    pixels, so that averages look like images. They invert a GAN; here a small autoencoder learns to return the mean
    images of the patients (mean squared error, Adam). A mechanism that works on a whole release is given that alone,
    and so the autoencoder learns from the set that is published, as the eigenimages of k_same_eigen do.

    A patient's code is that of their mean image; clusters are those of k_same_pixel, by codes. ``detail`` adds that
    share of what the decoder loses of the cluster's mean image, where k-SALSA aligns local style: an average of at
    least k patients too. All images of a cluster's patients are published as one and the same image.

    Among the patients of a closed set the chance to name one drawn evenly is at most 1/k, as of k_same_pixel, with its
    limits: unequal numbers of images, and two releases that can be intersected. It is not differentially private.
    """

    name = "latent_k_same"
    family = "k-same"
    operating_points = {"mild": {"k": 2}, "moderate": {"k": 3}, "strong": {"k": 5}, "severe": {"k": 10}}
    k: int = Field(5, ge=2, le=10_000, description="smallest number of patients in a cluster; 1 would hide nobody")
    code: int = Field(64, ge=1, le=1024, description="numbers of a code")
    detail: float = Field(0.0, ge=0, le=1, description="share of the mean image's local detail that is put back")
    steps: int = Field(600, ge=1, le=100_000, description="steps of the autoencoder's training")
    lr: float = Field(2e-3, ge=1e-6, le=0.1, description="Adam's learning rate")
    width: int = Field(16, ge=1, le=256, description="channels of the decoder")

    def transform_cohort(
        self, pixels: NDArray[np.uint8], patients: NDArray[np.int64], *, rng: torch.Generator
    ) -> NDArray[np.uint8]:
        """Returns decoded cluster means: (N, H, W) uint8.

        Raises:
            ReidbenchError: there are fewer than k patients.
        """
        people = Patients(pixels, patients)
        people.require(self.k)
        means = np.stack([people.mean(number) for number in range(len(people))]).astype(np.float32)
        seed = int(torch.randint(2**63 - 1, (), generator=rng))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = self._trained(torch.from_numpy(means / 255)[:, None])
        out = np.empty_like(pixels)
        with torch.no_grad():
            # One by one, so that no code depends on which patients go together.
            codes = torch.cat([network.encoder(_unit(mean)) for mean in means])
            for cluster in people.clusters(codes.numpy(), self.k, rng):
                made = network.decoder(codes[cluster].mean(0, keepdim=True))
                if self.detail:
                    mean = _unit(means[cluster].mean(axis=0))
                    made = made + self.detail * (mean - network.decoder(network.encoder(mean)))
                people.publish(cluster, 255 * made[0, 0].double().clamp(0, 1).numpy(), out)
        return out

    def _trained(self, images: torch.Tensor) -> "Autoencoder":
        network = Autoencoder(self.code, self.width, *images.shape[-2:])
        adam = torch.optim.Adam(network.parameters(), lr=self.lr)
        with torch.enable_grad():
            for _ in range(self.steps):
                # At least two, for batch norm.
                batch = images[torch.randint(len(images), (max(2, min(BATCH, len(images))),))]
                loss = F.mse_loss(network.decoder(network.encoder(batch)), batch)
                adam.zero_grad()
                loss.backward()
                adam.step()
        return network.eval()


class Autoencoder(nn.Module):
    """Images to codes, and codes to images."""

    def __init__(self, code: int, width: int, height: int, across: int) -> None:
        super().__init__()
        self.encoder = EmbeddingNet("resnet_small_8", dimensions=code, grid=4)
        self.decoder = Decoder(code, width, height, across)


def _unit(mean: NDArray[np.float32]) -> torch.Tensor:
    return torch.from_numpy(mean / 255)[None, None]
