"""Mechanisms with a key, and which party holds it: the base of k_rtio, block_encrypt and the others of the family."""

from abc import abstractmethod
from typing import Literal

import torch

from reidbench import Defense, Field, ReleaseRandom

#: A key as numbers in [0, 1), a row for each image, or one row for all of them.
Key = torch.Tensor
Holder = Literal["public", "secret", "per_image"]
HOLDER = (
    "public: one key for all images, which attackers have; secret: one that they lack; per_image: a secret one for each"
)


class KeyedDefense(Defense):
    """A mechanism that its owner can undo with the key.

    A secret key comes from the release seed, which is the owner's. An attacker runs the mechanism with keys of its own:
    never with the secret one. The public key follows from the defense's name, and anyone has it.
    """

    key: Holder = Field("secret", description=HOLDER)

    def numbers(self, images: torch.Tensor, rng: ReleaseRandom, *shape: int) -> Key:
        """The key as uniform numbers: (B, *shape) with a key for each image, (1, *shape) with one for all.

        To be asked once in a transformation: a common key begins anew at each call.
        """
        if self.key == "per_image":
            return rng.uniform(len(images), *shape, device=images.device)
        return self._common(rng).uniform(1, *shape, device=images.device)

    def _common(self, rng: ReleaseRandom) -> ReleaseRandom:
        if self.key == "public":
            return ReleaseRandom.for_images(0, ["the public key"], defense=self.name)
        return rng.of_release()

    @abstractmethod
    def undo(self, images: torch.Tensor, *, rng: ReleaseRandom) -> torch.Tensor:
        """What the owner gets back from published images (B, 1, H, W), with the random numbers of their release."""


def permutation(numbers: Key) -> torch.Tensor:
    """The order in which a key puts n things: (K, n) numbers to (K, n) indices. Equal numbers keep their order."""
    return numbers.argsort(dim=1, stable=True)


def inverse(order: torch.Tensor) -> torch.Tensor:
    """The permutation that takes one back: (K, n) to (K, n)."""
    places = torch.arange(order.shape[1], device=order.device).expand_as(order)
    return torch.empty_like(order).scatter_(1, order, places)


def reorder(values: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
    """Takes ``values`` (B, n) in an order (B, n), or (1, n) for all rows."""
    return values.gather(1, order.expand(len(values), -1))
