"""Images decoded from mixed codes of a small network that was fitted to them."""

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from reidbench import CohortDefense, Field, round_grey, to_unit

#: Side of the windows in which images are compared, in pixels.
WINDOW = 7

#: Held while a set draws from torch's global generator.
_DRAWING = Lock()


class NeuralObfuscation(CohortDefense):
    """Fits a small decoder with one code per image to a set of images, and releases what it makes of mixed codes.

    "Implicit neural obfuscation for privacy preserving medical image sharing" (MIDL 2024): one network is overfitted to
    a small set of radiographs, in which each has a code of its own; it has fewer weights than the images have pixels,
    so that detail is lost, and codes are mixed before decoding by I + rho · N(0, 1), so that each image takes something
    from the others of its set. Published are codes of 64 numbers, sets of about 46 images, 1 − SSIM as the loss, Adam
    at 1e-3 for about 2,500 steps, and rho = 0.08; of 220 patients, 39.6 % in place of 53.1 % were found at rank 1.

    Sets are drawn at random over the whole release. The decoder here doubles a map of a few cells by transposed
    convolutions until it has the images' size. All operating points but ``published`` take 60 steps at 2e-2, since
    attackers have whole releases made; the mean SSIM of four sets of 46 images of the phantom is 0.89 then (0.91 of one
    of them after 100 steps). Means over windows of 7 × 7 pixels stand for the Gaussian ones of SSIM. An attacker fits
    decoders to its own patients.

    No formal guarantee: with rho = 0 only what the network cannot hold is lost. A set of one image is not mixed.
    """

    name = "neural_obfuscation"
    family = "learned"
    operating_points = {
        "mild": {"rho": 0.0},
        "moderate": {"rho": 0.08},
        "strong": {"rho": 0.2},
        "severe": {"rho": 0.5},
        "published": {"rho": 0.08, "steps": 2500, "set_size": 46, "code": 64, "lr": 1e-3, "width": 32},
    }
    rho: float = Field(0.08, ge=0, le=10, description="deviation of the codes' mixing weights; published: 0.08")
    steps: int = Field(60, ge=1, le=100_000, description="steps for each set; published: 2,500")
    set_size: int = Field(46, ge=1, le=4096, description="images that share a decoder, nearly; published: 46")
    code: int = Field(64, ge=1, le=1024, description="numbers of a code; published: 64")
    lr: float = Field(2e-2, ge=1e-6, le=0.1, description="Adam's learning rate; published: 0.001")
    width: int = Field(16, ge=1, le=256, description="channels of the decoder")

    def transform_cohort(
        self, pixels: NDArray[np.uint8], patients: NDArray[np.int64], *, rng: torch.Generator
    ) -> NDArray[np.uint8]:
        """Returns decoded images: (N, H, W) uint8."""
        # In an order of the images' own, whatever the order of the rows.
        digests = [hashlib.blake2b(np.ascontiguousarray(image).data).digest() for image in pixels]
        order = np.array(sorted(range(len(pixels)), key=digests.__getitem__), dtype=np.int64)
        order = order[torch.randperm(len(order), generator=rng).numpy()]
        sets = np.array_split(order, max(1, round(len(order) / self.set_size)))
        seeds = torch.randint(2**63 - 1, (len(sets),), generator=rng).tolist()
        images = _side_by_side(self._obfuscated, [pixels[rows] for rows in sets], seeds)
        out = np.empty_like(pixels)
        for rows, made in zip(sets, images, strict=True):
            out[rows] = made
        return out

    def _obfuscated(self, pixels: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
        images = to_unit(pixels)
        height, width = pixels.shape[1:]
        with _DRAWING, torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            decoder = TransposedDecoder(self.code, self.width, height, width).to(memory_format=torch.channels_last)
            codes = nn.Parameter(torch.randn(len(images), self.code))
            mixing = self.mixing(len(codes))
        adam = torch.optim.Adam([codes, *decoder.parameters()], lr=self.lr)
        with torch.enable_grad():
            for _ in range(self.steps):
                loss = 1 - similarity(decoder(codes), images)
                adam.zero_grad()
                loss.backward()
                adam.step()
        with torch.no_grad():
            made = decoder(mixing @ codes)
        return round_grey(255 * made[:, 0].double().numpy())

    def mixing(self, count: int) -> torch.Tensor:
        """I + rho · N(0, 1), drawn from torch's global generator: (count, count). One image is not mixed."""
        noise = torch.randn(count, count) if count > 1 else torch.zeros(1, 1)
        return torch.eye(count) + self.rho * noise


class TransposedDecoder(nn.Module):
    """Codes to images by transposed convolutions: no map of the images' size has more than one channel.

    At 64 × 64 a pass forwards and back takes a fifth of the time that it takes with doublings and convolutions.
    """

    def __init__(self, code: int, channels: int, height: int, width: int) -> None:
        super().__init__()
        doublings = max(1, (max(height, width) - 1).bit_length() - 2)
        self._size = (height, width)
        self._coarse = tuple(-(-side // 2**doublings) for side in self._size)
        self._channels = channels
        self.start = nn.Linear(code, channels * math.prod(self._coarse))
        self.convolutions = nn.ModuleList(
            nn.ConvTranspose2d(channels, channels, 4, stride=2, padding=1) for _ in range(doublings - 1)
        )
        self.end = nn.ConvTranspose2d(channels, 1, 4, stride=2, padding=1)

    def forward(self, codes: torch.Tensor) -> torch.Tensor:
        """(B, code) to (B, 1, H, W) in [0, 1]; what the doublings make beyond that size is cut off."""
        maps = self.start(codes).view(-1, self._channels, *self._coarse)
        for convolution in self.convolutions:
            maps = F.leaky_relu(convolution(maps), 0.1)
        height, width = self._size
        made: torch.Tensor = self.end(maps).sigmoid()
        return made[..., :height, :width]


def _side_by_side(
    work: Callable[[NDArray[np.uint8], int], NDArray[np.uint8]], sets: Sequence[NDArray[np.uint8]], seeds: Sequence[int]
) -> Iterator[NDArray[np.uint8]]:
    """The results of each set's work, which has one thread, in order.

    The small tensors of a set gain little from a second thread, and with one the images are the same however many a
    machine has.
    """
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as executor:
            yield from executor.map(work, sets, seeds)
    finally:
        # The pool's threads set what later threads begin with, too.
        torch.set_num_threads(threads)


def similarity(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """The mean structural similarity (Wang et al., 2004) of images (B, 1, H, W) in [0, 1], in square windows."""
    side = min(WINDOW, *one.shape[-2:])

    # Products with band matrices take a sixth of what pooling takes at 64 × 64, forwards and back.
    rows, columns = (_windows(length, side, one.device) for length in one.shape[-2:])

    def mean(values: torch.Tensor) -> torch.Tensor:
        return rows @ values @ columns.T

    a, b = mean(one), mean(other)
    # Rounding may leave a variance slightly below zero.
    variances = (mean(one**2) - a**2).clamp(min=0) + (mean(other**2) - b**2).clamp(min=0)
    covariance = mean(one * other) - a * b
    light = (2 * a * b + 0.01**2) / (a**2 + b**2 + 0.01**2)
    return (light * (2 * covariance + 0.03**2) / (variances + 0.03**2)).mean()


def _windows(length: int, side: int, device: torch.device) -> torch.Tensor:
    """The matrix that takes the mean of each window along an axis: (length − side + 1, length)."""
    starts = torch.arange(length - side + 1, device=device)[:, None]
    offsets = torch.arange(length, device=device) - starts
    return ((offsets >= 0) & (offsets < side)).float() / side
