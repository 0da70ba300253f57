"""Learnable image encryption."""

from typing import Literal, NamedTuple

import torch

from reidbench import Field, ReleaseRandom
from reidbench_plugins._keys import Key, KeyedDefense, inverse, permutation


class BlockEncrypt(KeyedDefense):
    """Encrypts an image block by block (LE, ELE or EtC), so that a network can still learn from it.

    The three schemes of privacy-preserving networks, for grey images, with facts from Chuman and Kiya, "A jigsaw puzzle
    solver-based attack on image encryption using vision transformer for privacy-preserving DNNs" (2023):

    - LE (learnable encryption, Tanaka 2018): in each block, every pixel is split into its upper and its lower four
      bits; a key inverts some of these halves and shuffles all of them. All blocks have the same inner key.
    - ELE (extended, Madono et al. 2020): the blocks are permuted before that.
    - EtC (encryption then compression, Chuman et al.): blocks are permuted, turned or mirrored, and inverted.

    Of colours, which EtC exchanges and LE splits too, a grey image has none. What is left at the right and at the lower
    edge, less than a block, is permuted and inverted pixel by pixel.

    It needs 8-bit images and gives such. ``undo`` with the key gives the image back to the last bit. No formal
    guarantee: LE and ELE were broken by networks that restore images from pairs, and EtC and ELE by a solver of jigsaw
    puzzles that needs a single image and no key. Attackers here undo a key that all images share, by the statistics of
    the release. No attacker solves puzzles: with a key for each image, figures of ELE and EtC are below what is known
    to be possible, and records and boards say so.
    """

    name = "block_encrypt"
    family = "keyed"
    operating_points = {
        "mild": {"scheme": "EtC", "block": 16, "key": "public"},
        "moderate": {"scheme": "EtC", "block": 8},
        "strong": {"scheme": "ELE", "block": 4},
        "severe": {"scheme": "ELE", "block": 4, "key": "per_image"},
    }
    scheme: Literal["LE", "ELE", "EtC"] = Field("EtC", description="how blocks are encrypted")
    block: int = Field(8, ge=1, le=1024, description="side of a block in pixels")

    def unmatched_break(self) -> str | None:
        """A jigsaw solver, which needs one image; attackers undo a key that all images share, public or secret."""
        return "a jigsaw solver, Chuman and Kiya, 2023" if self.key == "per_image" and self.scheme != "LE" else None

    def transform(self, images: torch.Tensor, *, rng: ReleaseRandom) -> torch.Tensor:
        """Encrypts images: (B, 1, H, W)."""
        levels, layout, key = self._prepared(images, rng)
        out = torch.empty_like(levels)
        out[:, layout.edge] = invert(take(levels[:, layout.edge], permutation(key.edge)), key.edge_signs, 255)
        blocks = levels[:, layout.blocks]
        if self.scheme != "LE":
            blocks = take(blocks, permutation(key.blocks))
        if self.scheme == "EtC":
            blocks = invert(take(blocks, layout.turns[(8 * key.turns).long()], 2), key.signs[..., None], 255)
        else:
            blocks = join(take(invert(split(blocks), key.half_signs[:, None], 15), permutation(key.halves)[:, None], 2))
        out[:, layout.blocks] = blocks
        return _images(out, images)

    def undo(self, images: torch.Tensor, *, rng: ReleaseRandom) -> torch.Tensor:
        """Decrypts them."""
        levels, layout, key = self._prepared(images, rng)
        out = torch.empty_like(levels)
        out[:, layout.edge] = take(invert(levels[:, layout.edge], key.edge_signs, 255), inverse(permutation(key.edge)))
        blocks = levels[:, layout.blocks]
        if self.scheme == "EtC":
            back = inverse(layout.turns)[(8 * key.turns).long()]
            blocks = take(invert(blocks, key.signs[..., None], 255), back, 2)
        else:
            halves = take(split(blocks), inverse(permutation(key.halves))[:, None], 2)
            blocks = join(invert(halves, key.half_signs[:, None], 15))
        if self.scheme != "LE":
            blocks = take(blocks, inverse(permutation(key.blocks)))
        out[:, layout.blocks] = blocks
        return _images(out, images)

    def _prepared(self, images: torch.Tensor, rng: ReleaseRandom) -> "tuple[torch.Tensor, Layout, BlockKey]":
        layout = Layout(*images.shape[-2:], self.block, images.device)
        count, area = layout.blocks.shape
        sizes = [count, count, count, 2 * area, 2 * area, len(layout.edge), len(layout.edge)]
        key = BlockKey(*self.numbers(images, rng, sum(sizes)).split(sizes, dim=1))
        return (images * 255).round().long().flatten(1), layout, key


class BlockKey(NamedTuple):
    """A key's numbers (K, …): places, turns and signs of blocks, places and signs of halves and of edge pixels."""

    blocks: Key
    turns: Key
    signs: Key
    halves: Key
    half_signs: Key
    edge: Key
    edge_signs: Key


class Layout:
    """Where blocks lie in an image, as pixel numbers (row · width + column).

    Attributes:
        blocks: (blocks, pixels of each); none where none fits.
        edge: (pixels,) that are in no block.
        turns: (8, pixels of a block) the turns and reflections of a block, as orders of its pixels.
    """

    def __init__(self, height: int, width: int, side: int, device: torch.device) -> None:
        numbers = torch.arange(height * width, device=device).view(height, width)
        rows, columns = height // side, width // side
        inside = numbers[: rows * side, : columns * side]
        self.blocks = inside.reshape(rows, side, columns, side).transpose(1, 2).reshape(rows * columns, side**2)
        free = torch.ones_like(numbers, dtype=torch.bool)
        free[: rows * side, : columns * side] = False
        self.edge = numbers[free]
        square = torch.arange(side**2, device=device).view(side, side)
        self.turns = torch.stack(
            [turned.rot90(quarters).flatten() for turned in (square, square.T) for quarters in range(4)]
        )


def split(blocks: torch.Tensor) -> torch.Tensor:
    """Upper and lower four bits of grey levels: (B, n, m) to (B, n, 2 m)."""
    return torch.cat([blocks // 16, blocks % 16], dim=2)


def join(halves: torch.Tensor) -> torch.Tensor:
    """Takes (B, n, 2 m) halves for upper and lower bits: (B, n, m)."""
    upper, lower = halves.chunk(2, dim=2)
    return 16 * upper + lower


def take(values: torch.Tensor, order: torch.Tensor, dim: int = 1) -> torch.Tensor:
    """Takes values in an order, along a dimension; the order has 1 where it is the same for all."""
    if order.ndim < values.ndim:
        order = order[..., None]
    return values.gather(dim, order.expand(*values.shape))


def invert(values: torch.Tensor, numbers: Key, most: int) -> torch.Tensor:
    """``most`` minus the value where a key's number is below a half."""
    return torch.where(numbers < 0.5, most - values, values)


def _images(levels: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return (levels.to(like.dtype) / 255).view_as(like)
