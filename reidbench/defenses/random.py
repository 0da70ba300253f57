"""Randomness of a release: a stream an image, so that nothing depends on how images were batched."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import torch

Draw = Callable[[torch.Tensor, torch.Generator], object]
Images = Callable[[torch.Tensor], torch.Tensor]


def image_seed(release_seed: int, draw: int, image_id: str) -> int:
    """The seed of one image's stream, 63 bits of a hash.

    torch's CPU generator takes the low 32 of them: among a hundred thousand images a pair or so share a stream, and all
    streams can be tried. It is made for experiments; noise that is to protect patients needs a cryptographic generator.
    """
    text = f"{release_seed}\x00{draw}\x00{image_id}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") >> 1


class ReleaseRandom:
    """Random numbers for a batch of images, shaped like what they are for.

    Each image has a stream of its own, made from (release seed, draw, image_id): it is the same whatever the batch
    size and order. Numbers are drawn on the CPU and moved, so that a release is the same on every device.

    Args:
        generators: a CPU generator an image.
    """

    def __init__(self, generators: Sequence[torch.Generator]) -> None:
        self.generators = tuple(generators)

    @classmethod
    def for_images(cls, release_seed: int, image_ids: Sequence[str], draw: int = 0) -> ReleaseRandom:
        """The streams of these images in one release; ``draw`` numbers an attacker's own runs of the mechanism."""
        return cls([torch.Generator().manual_seed(image_seed(release_seed, draw, i)) for i in image_ids])

    def __len__(self) -> int:
        return len(self.generators)

    def normal_like(self, images: torch.Tensor) -> torch.Tensor:
        """Standard normal numbers, shaped and placed like ``images`` (B, …)."""
        return self._like(images, lambda row, g: row.normal_(generator=g))

    def uniform_like(self, images: torch.Tensor) -> torch.Tensor:
        """Uniform numbers in [0, 1), shaped and placed like ``images`` (B, …)."""
        return self._like(images, lambda row, g: row.uniform_(generator=g))

    def laplace_like(self, images: torch.Tensor) -> torch.Tensor:
        """Laplace numbers of scale 1 (variance 2), shaped and placed like ``images`` (B, …)."""
        # The difference of two exponentials is Laplace. Each is drawn by inversion, four times as fast as exponential_,
        # from uniform numbers below 1, so that there is no logarithm of zero to guard.
        first = self._like(images, lambda row, g: row.uniform_(generator=g).neg_().log1p_())
        return self._like(images, lambda row, g: row.uniform_(generator=g).neg_().log1p_()) - first

    def poisson(self, rate: torch.Tensor) -> torch.Tensor:
        """Poisson counts of the given rates (B, …)."""
        rates = rate.detach().to("cpu", torch.float32)
        counts = self._each(rates.shape, lambda number, g: torch.poisson(rates[number], generator=g))
        return counts.to(rate.device, rate.dtype)

    def uniform(self, batch: int, *shape: int, device: torch.device | None = None) -> torch.Tensor:
        """Uniform numbers in [0, 1): (batch, *shape) float32, a row an image."""
        return self.uniform_like(torch.empty(batch, *shape, device=device))

    def seeded(self, images: torch.Tensor, function: Images) -> torch.Tensor:
        """Applies a function that draws from torch's global generator, as kornia's augmentations do.

        Args:
            images: (B, 1, H, W).
            function: takes and gives (1, 1, H, W); called on one image at a time, on the CPU, with the global
                generator seeded from that image's stream. The generator's state is restored afterwards.

        Returns:
            (B, 1, H, W), where ``images`` are.
        """
        self._check(len(images))
        out = [_seeded(image[None], function, g) for image, g in zip(images.cpu(), self.generators, strict=True)]
        return torch.cat(out).to(images.device) if out else images.clone()

    def each(self, images: torch.Tensor, function: Images) -> torch.Tensor:
        """Applies a function without randomness, such as a network, to one image at a time.

        Float32 convolutions choose their algorithm, and with it their rounding, by the batch's size; a release must not
        depend on it. An attacker's own runs take the whole batch at once.

        Args:
            images: (B, 1, H, W).
            function: takes (1, 1, H, W), or a batch, and gives as many rows.
        """
        self._check(len(images))
        return torch.cat([function(image[None]) for image in images]) if len(images) else images.clone()

    def _like(self, images: torch.Tensor, draw: Draw) -> torch.Tensor:
        out = torch.empty(images.shape, dtype=torch.float32)
        self._fill(out, draw)
        return out.to(images.device, images.dtype)

    def _check(self, batch: int) -> None:
        if batch != len(self):
            raise ValueError(f"random numbers for {batch} images asked of the streams of {len(self)}")

    def _fill(self, out: torch.Tensor, draw: Draw) -> None:
        self._check(len(out))
        for row, generator in zip(out, self.generators, strict=True):
            draw(row, generator)

    def _each(self, shape: torch.Size, draw: Callable[[int, torch.Generator], torch.Tensor]) -> torch.Tensor:
        self._check(shape[0])
        rows = [draw(number, generator) for number, generator in enumerate(self.generators)]
        return torch.stack(rows) if rows else torch.empty(shape)


def _seeded(images: torch.Tensor, function: Images, generator: torch.Generator) -> torch.Tensor:
    seed = int(torch.randint(2**63 - 1, (), generator=generator))
    accelerators = [] if images.device.type == "cpu" else [images.device]
    with torch.random.fork_rng(accelerators, device_type=images.device.type if accelerators else "cuda"):
        # Not torch.manual_seed: it would seed every accelerator, also those whose state is not restored.
        torch.default_generator.manual_seed(seed)
        for device in accelerators:
            with torch.accelerator.device_index(device.index):
                torch.get_device_module(device).manual_seed(seed)
        return function(images)


class TrainingRandom(ReleaseRandom):
    """The same interface over one stream for the whole batch: for an attacker's own runs, where only speed counts.

    Args:
        generator: a CPU generator.
        batch: number of images.
    """

    def __init__(self, generator: torch.Generator, batch: int) -> None:
        super().__init__([generator] * batch)

    def _fill(self, out: torch.Tensor, draw: Draw) -> None:
        self._check(len(out))
        if len(out):
            draw(out, self.generators[0])

    def each(self, images: torch.Tensor, function: Images) -> torch.Tensor:
        """As in a release, but on the whole batch at once."""
        self._check(len(images))
        return function(images) if len(images) else images.clone()

    def seeded(self, images: torch.Tensor, function: Images) -> torch.Tensor:
        """As in a release, but on the whole batch at once and where the images are."""
        self._check(len(images))
        return _seeded(images, function, self.generators[0]) if len(images) else images.clone()
