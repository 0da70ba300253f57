"""Randomness of a release: a stream an image, so that nothing depends on how images were batched."""

from __future__ import annotations

import hashlib
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from reidbench.side_generator import SideGenerator

Images = Callable[[torch.Tensor], torch.Tensor]
Row = NDArray[np.float32]
Stream = np.random.Generator
Shape = tuple[int, ...]

# What a stream is for, so that no image's name can be that of another kind of stream.
Purpose = Literal["image", "cohort", "fit", "release"]
HASH = b"reidbench-stream"


def stream_key(release_seed: int, draw: int, defense: str, image_id: str = "", *, purpose: Purpose = "image") -> bytes:
    """The key of one stream, 128 bits of a hash of all that tells it from others.

    Args:
        defense: its name and options, as :func:`reidbench.defenses.fingerprint.identity` writes them.
        image_id: empty where the stream is for a whole set.
    """
    # JSON keeps the parts from running into each other, whatever characters a name has.
    text = json.dumps([purpose, int(release_seed), int(draw), defense, str(image_id)])
    return hashlib.blake2b(text.encode(), digest_size=16, person=HASH).digest()


def stream_of(key: bytes) -> Stream:
    """The generator of a 128-bit key."""
    # Philox takes the 128 bits as they are, and numbers blocks under them like a cipher, if a weak one: another key is
    # another stream and no other piece of the same. PCG64DXSM is a sixth faster, but makes its state of a seed by a
    # short hash, and was never meant to be hard to run backwards.
    return np.random.Generator(np.random.Philox(key=int.from_bytes(key, "little")))


def torch_seed(key: bytes) -> int:
    """A seed for torch's generators, 63 bits of a key. On the CPU they take the low 32 of them."""
    return int.from_bytes(key[:8], "little") >> 1


class ReleaseRandom(ABC):
    """Random numbers for a batch of images, shaped like what they are for.

    In a release, each image has a stream of its own, made from (release seed, draw, defense with its options,
    image_id): it is the same whatever the batch size and order. Numbers are drawn on the CPU and moved, so that a
    release is the same on every device.
    """

    @staticmethod
    def for_images(release_seed: int, image_ids: Sequence[str], draw: int = 0, *, defense: str = "") -> ReleaseRandom:
        """The streams of these images in one release.

        Args:
            release_seed: 0 or more, of any size.
            draw: 0 for what is published; other numbers for an attacker's own runs of the mechanism.
            defense: its name and options as one text, so that no two defenses share their noise.
        """
        streams = [stream_of(stream_key(release_seed, draw, defense, name)) for name in image_ids]
        return ImageStreams(streams, stream_key(release_seed, draw, defense, purpose="release"))

    @abstractmethod
    def __len__(self) -> int:
        """Number of images."""

    def normal_like(self, images: torch.Tensor) -> torch.Tensor:
        """Standard normal numbers, shaped and placed like ``images`` (B, …)."""
        return self._normal(self._checked(images)).to(images.device, images.dtype)

    def uniform_like(self, images: torch.Tensor) -> torch.Tensor:
        """Uniform numbers in [0, 1), shaped and placed like ``images`` (B, …)."""
        return _below_one(self._uniform(self._checked(images)), images.dtype).to(images.device, images.dtype)

    def laplace_like(self, images: torch.Tensor) -> torch.Tensor:
        """Laplace numbers of scale 1 (variance 2), shaped and placed like ``images`` (B, …)."""
        return self._laplace(self._checked(images)).to(images.device, images.dtype)

    def poisson(self, rate: torch.Tensor) -> torch.Tensor:
        """Poisson counts of the given rates (B, …), which are 0 or more."""
        self._checked(rate)
        return self._poisson(rate.detach().to("cpu", torch.float32)).to(rate.device, rate.dtype)

    def uniform(self, batch: int, *shape: int, device: torch.device | None = None) -> torch.Tensor:
        """Uniform numbers in [0, 1): (batch, *shape) float32, one row per image."""
        return self.uniform_like(torch.empty(batch, *shape, device=device))

    @abstractmethod
    def of_release(self) -> ReleaseRandom:
        """The one stream that all images of a release share, as random numbers for a batch of one: for a common key.

        It begins anew at each call, so that every batch of a release finds the same numbers. Another release seed or
        draw has another stream: an attacker's own runs of the mechanism never find what is published with.
        """

    @abstractmethod
    def seeded(self, images: torch.Tensor, function: Images) -> torch.Tensor:
        """Applies a function that draws from torch's global generator, as kornia's augmentations do.

        In a release it is called on one image at a time, on the CPU; an attacker's own runs give it the whole batch at
        once, where the images are.

        The global generator can only have torch's kind of seed, of which it takes 32 bits on the CPU: all draws of the
        function can be tried, and among a hundred thousand images a pair or so share one. No noise that is to protect
        anybody belongs here.

        Args:
            images: (B, 1, H, W).
            function: takes and gives (B, 1, H, W), in a release (1, 1, H, W); called with the global generator seeded
                from the stream of the image, or of the batch. The generator's state is restored afterwards.

        Returns:
            (B, 1, H, W), where ``images`` are.
        """

    @abstractmethod
    def each(self, images: torch.Tensor, function: Images) -> torch.Tensor:
        """Applies a function without randomness, such as a network, to one image at a time.

        Float32 convolutions choose their algorithm, and with it their rounding, by the batch's size; a release must not
        depend on it. An attacker's own runs take the whole batch at once.

        Args:
            images: (B, 1, H, W).
            function: takes (1, 1, H, W), or a batch, and gives as many rows.
        """

    # What all numbers are made of: each gives float32 on the CPU, of that shape, whose first side is the batch.

    @abstractmethod
    def _normal(self, shape: Shape) -> torch.Tensor: ...

    @abstractmethod
    def _uniform(self, shape: Shape) -> torch.Tensor: ...

    @abstractmethod
    def _laplace(self, shape: Shape) -> torch.Tensor: ...

    @abstractmethod
    def _poisson(self, rates: torch.Tensor) -> torch.Tensor: ...

    def _checked(self, images: torch.Tensor) -> Shape:
        if len(images) != len(self):
            raise ValueError(f"random numbers for {len(images)} images asked of the streams of {len(self)}")
        return tuple(images.shape)


class ImageStreams(ReleaseRandom):
    """A stream an image: what a release is made with.

    NumPy's generators, since torch's on the CPU has no more than 2³² streams. They are none of cryptography's.

    Args:
        streams: a generator an image.
        release: the key of the stream that all images of the release share.
    """

    def __init__(self, streams: Sequence[Stream], release: bytes) -> None:
        self._streams = tuple(streams)
        self._release = release

    def __len__(self) -> int:
        return len(self._streams)

    def of_release(self) -> ReleaseRandom:
        """A stream of the release's seed, draw and defense, whichever images there are."""
        return ImageStreams([stream_of(self._release)], self._release)

    def seeded(self, images: torch.Tensor, function: Images) -> torch.Tensor:
        """An image at a time, on the CPU."""
        self._checked(images)
        seeds = [int(stream.integers(2**63)) for stream in self._streams]
        out = [_seeded(image[None], function, seed) for image, seed in zip(images.cpu(), seeds, strict=True)]
        return torch.cat(out).to(images.device) if out else images.clone()

    def each(self, images: torch.Tensor, function: Images) -> torch.Tensor:
        """An image at a time."""
        self._checked(images)
        return torch.cat([function(image[None]) for image in images]) if len(images) else images.clone()

    def _normal(self, shape: Shape) -> torch.Tensor:
        return self._rows(shape, lambda row, stream: stream.standard_normal(dtype=np.float32, out=row))

    def _uniform(self, shape: Shape) -> torch.Tensor:
        # Multiples of 2^-24, the largest of them 1 − 2^-24: below 1 in float32 too.
        return self._rows(shape, lambda row, stream: stream.random(dtype=np.float32, out=row))

    def _laplace(self, shape: Shape) -> torch.Tensor:
        # By inversion in float64, then cast. From float32 the tails would end at 16, with gaps long before.
        return self._rows(shape, lambda row, stream: np.copyto(row, stream.laplace(size=row.size)))

    def _poisson(self, rates: torch.Tensor) -> torch.Tensor:
        flat = iter(rates.double().reshape(len(self), math.prod(rates.shape[1:])).numpy())
        return self._rows(rates.shape, lambda row, stream: np.copyto(row, stream.poisson(next(flat))))

    def _rows(self, shape: Shape, draw: Callable[[Row, Stream], object]) -> torch.Tensor:
        out = np.empty((len(self), math.prod(shape[1:])), dtype=np.float32)
        for row, stream in zip(out, self._streams, strict=True):
            draw(row, stream)
        return torch.from_numpy(out).view(shape)


class TrainingRandom(ReleaseRandom):
    """The same interface over one of torch's generators for the whole batch: for an attacker's own runs.

    Only speed counts there. Functions see the whole batch at once, where the images are.

    Args:
        generator: a CPU generator.
        batch: number of images.
    """

    def __init__(self, generator: torch.Generator, batch: int) -> None:
        self._generator = generator
        self._batch = batch

    def __len__(self) -> int:
        return self._batch

    def of_release(self) -> ReleaseRandom:
        """Numbers for this batch: each of an attacker's steps, with both of its sides, is as if it were a release."""
        if isinstance(self._generator, SideGenerator):
            return TrainingRandom(torch.Generator().manual_seed(self._generator.shared), 1)
        return TrainingRandom(self._generator, 1)

    def seeded(self, images: torch.Tensor, function: Images) -> torch.Tensor:
        """On the whole batch at once and where the images are."""
        self._checked(images)
        if not len(images):
            return images.clone()
        return _seeded(images, function, int(torch.randint(2**63 - 1, (), generator=self._generator)))

    def each(self, images: torch.Tensor, function: Images) -> torch.Tensor:
        """On the whole batch at once."""
        self._checked(images)
        return function(images) if len(images) else images.clone()

    def _normal(self, shape: Shape) -> torch.Tensor:
        return torch.empty(shape).normal_(generator=self._generator)

    def _uniform(self, shape: Shape) -> torch.Tensor:
        return torch.empty(shape).uniform_(generator=self._generator)

    def _laplace(self, shape: Shape) -> torch.Tensor:
        # The difference of two exponentials is Laplace. Each is drawn by inversion, four times as fast as exponential_,
        # from uniform numbers below 1, so that there is no logarithm of zero to guard.
        first, second = (self._uniform(shape).neg_().log1p_() for _ in range(2))
        return second - first

    def _poisson(self, rates: torch.Tensor) -> torch.Tensor:
        return torch.poisson(rates, generator=self._generator)


def _below_one(uniform: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The numbers cut, not rounded, to what ``dtype`` can hold: half precision would make 1 of the largest."""
    if dtype not in (torch.float16, torch.bfloat16):
        return uniform
    step = torch.finfo(dtype).eps / 2
    return uniform.div(step).floor_().mul_(step)


def _seeded(images: torch.Tensor, function: Images, seed: int) -> torch.Tensor:
    accelerators = [] if images.device.type == "cpu" else [images.device]
    with torch.random.fork_rng(accelerators, device_type=images.device.type if accelerators else "cuda"):
        # Not torch.manual_seed: it would seed every accelerator, also those whose state is not restored.
        torch.default_generator.manual_seed(seed)
        for device in accelerators:
            with torch.accelerator.device_index(device.index):
                torch.get_device_module(device).manual_seed(seed)
        return function(images)
