"""k_rtio, block_encrypt, pixel_relocation and keyed_deformation: what the key gives back, and which party holds it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from reidbench import ReleaseRandom
from reidbench.defenses.fingerprint import identity
from reidbench.defenses.release import draw_batch, release
from reidbench.images import to_pixels, to_unit
from reidbench.networks.training import side_generator
from reidbench.steps.releases import MechanismSide
from reidbench_plugins._keys import KeyedDefense, inverse, permutation
from reidbench_plugins.block_encrypt import BlockEncrypt, Layout
from reidbench_plugins.k_rtio import KRTIO, pool
from reidbench_plugins.keyed_deformation import KeyedDeformation, splines
from reidbench_plugins.pixel_relocation import PixelRelocation, spiral

CPU = torch.device("cpu")
HOLDERS = ("public", "secret", "per_image")
KEYED = (KRTIO, BlockEncrypt, PixelRelocation, KeyedDeformation)
#: Those that give images back to the last bit.
EXACT = [
    PixelRelocation(),
    PixelRelocation(reach=2),
    *(BlockEncrypt(scheme=scheme, block=block) for scheme in ("LE", "ELE", "EtC") for block in (1, 5, 8, 64)),
]


def published(defense: KeyedDefense, pixels: np.ndarray, **keywords: int) -> np.ndarray:
    ids = [str(number) for number in range(len(pixels))]
    return release(defense, pixels, ids, np.arange(len(pixels)), **{"seed": 5} | keywords)


def returned(defense: KeyedDefense, after: np.ndarray, seed: int = 5) -> np.ndarray:
    """Published images with the key undone, by the release seed."""
    ids = [str(number) for number in range(len(after))]
    rng = ReleaseRandom.for_images(seed, ids, defense=identity(defense))
    return to_pixels(defense.undo(to_unit(after, CPU), rng=rng))


@pytest.mark.parametrize("holder", HOLDERS)
@pytest.mark.parametrize("defense", EXACT, ids=str)
def test_the_key_gives_every_bit_back_and_another_key_does_not(defense, holder, pixels) -> None:
    defense = defense.model_copy(update={"key": holder})
    images = pixels(4, 43, 61)
    after = published(defense, images)
    assert (after != images).mean() > 0.2
    np.testing.assert_array_equal(returned(defense, after), images)
    if holder != "public":
        assert (returned(defense, after, seed=6) != images).mean() > 0.2


@pytest.mark.parametrize("cls", KEYED)
def test_one_key_for_all_treats_equal_images_equally_and_a_key_each_does_not(cls, pixels) -> None:
    images = pixels(1).repeat(3, axis=0)
    for holder in HOLDERS:
        after = published(cls(key=holder), images)
        assert np.array_equal(after[0], after[1]) == (holder != "per_image")
        # In whatever batches, a common key is one.
        np.testing.assert_array_equal(after, published(cls(key=holder), images, batch_size=1))


@pytest.mark.parametrize("cls", KEYED)
def test_an_attackers_own_runs_have_the_public_key_and_never_the_secret_one(cls, pixels) -> None:
    images = pixels(6)
    unit = to_unit(images, CPU)
    for holder in HOLDERS:
        defense = cls(key=holder)
        out = published(defense, images)
        own = [published(defense, images, draw=1), published(defense, images, seed=6)]
        own += [to_pixels(draw_batch(defense, unit, torch.Generator().manual_seed(seed))) for seed in (5, 0)]
        for other in own:
            same = [np.array_equal(one, two) for one, two in zip(out, other)]
            assert all(same) if holder == "public" else not any(same)
        first, again = own[2:]
        assert np.array_equal(first, again) == (holder == "public"), "a batch has a key of its own"


def test_a_permutation_and_its_inverse() -> None:
    order = permutation(torch.tensor([[0.5, 0.1, 0.9, 0.1], [0.4, 0.3, 0.2, 0.1]]))
    assert order.tolist() == [[1, 3, 0, 2], [3, 2, 1, 0]]
    assert inverse(order).tolist() == [[2, 0, 3, 1], [3, 2, 1, 0]]


@pytest.mark.parametrize(("height", "width"), [(5, 5), (4, 4), (1, 1), (2, 7), (9, 3)])
def test_the_spiral_takes_every_pixel_once_from_the_middle(height: int, width: int) -> None:
    path = spiral(height, width)
    assert sorted(path.tolist()) == list(range(height * width))
    assert path[0] == (height - 1) // 2 * width + (width - 1) // 2
    if height == width == 5:
        steps = torch.stack([path // width, path % width], 1).diff(dim=0).abs().sum(1)
        assert (steps == 1).all(), "each is beside the one before"


def test_no_pixel_moves_further_along_the_spiral_than_told(pixels) -> None:
    numbered = torch.arange(21 * 33).view(1, 1, 21, 33).float() / 1000
    path = spiral(21, 33)
    for reach in (2, 40):
        rng = ReleaseRandom.for_images(1, ["one"])
        after = (PixelRelocation(reach=reach).transform(numbered, rng=rng) * 1000).round().long().flatten()
        place = torch.empty_like(path)
        place[path] = torch.arange(len(path))
        moved = (place[after[path]] - torch.arange(len(path))).abs()
        assert 0 < moved.max() < reach


def test_the_turns_of_a_block_are_the_eight_of_a_square() -> None:
    turns = Layout(6, 7, 3, CPU).turns
    assert len({tuple(turn) for turn in turns.tolist()}) == 8
    square = torch.arange(9).view(3, 3)
    expected = [f(square).rot90(k) for f in (lambda s: s, lambda s: s.flip(0)) for k in range(4)]
    assert {tuple(t.flatten().tolist()) for t in expected} == {tuple(turn) for turn in turns.tolist()}


def test_block_schemes_keep_what_they_are_published_to_keep(pixels) -> None:
    images = pixels(3, 32, 48)

    def blocks(levels: np.ndarray, side: int = 8) -> np.ndarray:
        cut = levels.reshape(len(levels), 32 // side, side, 48 // side, side)
        return cut.transpose(0, 1, 3, 2, 4).reshape(len(levels), -1, side * side)

    before = blocks(images)
    # EtC: each block is one of the image's, turned, and perhaps inverted.
    after = blocks(published(BlockEncrypt(scheme="EtC"), images))
    for own, out in zip(before, after):
        plain, inverted = ({tuple(np.sort(block)) for block in kind} for kind in (own, 255 - own.astype(int)))
        found = [(tuple(np.sort(block)) in plain, tuple(np.sort(block)) in inverted) for block in out]
        assert all(any(kinds) for kinds in found)
        assert 0.2 < np.mean([kinds[1] for kinds in found]) < 0.8
        assert not any(np.array_equal(block, other) for block, other in zip(out, own))
    # LE: blocks stay where they are, and equal blocks are encrypted equally.
    flat = np.tile(images[:, :8, :8], (1, 4, 6))
    encrypted = blocks(published(BlockEncrypt(scheme="LE"), flat))
    assert (encrypted == encrypted[:, :1]).all()
    assert (encrypted[:, 0] != blocks(flat)[:, 0]).mean() > 0.9
    # A black image tells which halves are inverted: about half of them, in every block the same.
    black = blocks(published(BlockEncrypt(scheme="LE"), np.zeros_like(images)))
    assert {0, 15, 240, 255} >= set(np.unique(black))
    assert 0.3 < np.mean(black // 16 == 15) < 0.7


def test_without_weight_an_overlay_changes_nothing_and_with_all_it_is_all(pixels, run) -> None:
    images = to_unit(pixels(3), CPU)
    assert torch.equal(run(KRTIO(alpha=0), images), images)
    alone = run(KRTIO(alpha=1), images)
    torch.testing.assert_close(alone, run(KRTIO(alpha=1), images * 0))
    # At a half, the mean of both; another stream, since alpha is an option, has another overlay.
    rng = ReleaseRandom.for_images(0, [f"image {number}" for number in range(3)])
    overlay = KRTIO().overlay(images, rng)
    torch.testing.assert_close(run(KRTIO(), images), (images + overlay) / 2)


@pytest.mark.parametrize(("alpha", "levels"), [(0.3, 1), (0.5, 1), (0.9, 6)])
def test_the_overlay_is_subtracted_but_for_what_was_rounded(alpha: float, levels: int, pixels) -> None:
    images = pixels(4, 43, 61)
    defense = KRTIO(alpha=alpha)
    back = returned(defense, published(defense, images))
    assert np.abs(back.astype(int) - images).max() <= levels
    assert np.abs(returned(defense, published(defense, images), seed=6).astype(int) - images).mean() > 3


def test_overlays_are_images_of_the_pool_in_blocks_and_lie_in_the_unit_range() -> None:
    images = torch.zeros(2, 1, 16, 24)
    whole = [torch.nn.functional.interpolate(layer, (16, 24), mode="bilinear") for layer in pool(32)]
    every = sum(whole[1:], start=whole[0])
    assert 0 <= float(every.min()) < float(every.max()) <= 1
    found = []
    for block in (1024, 8, 1):
        defense = KRTIO(k=1, block=block, overlays=32)
        overlay = defense.overlay(images, ReleaseRandom.for_images(3, ["a", "b"]))
        # A block as large as the image leaves the chosen one as it is; smaller ones are put in another order.
        for made in overlay:
            alike = [torch.equal(made, one) for one in every]
            sorted_alike = [torch.equal(made.flatten().sort().values, one.flatten().sort().values) for one in every]
            assert sum(alike) == (block == 1024)
            assert sum(sorted_alike) == 1
            found.append(sorted_alike.index(True))
    assert found == found[:2] * 3, "the choice does not depend on the blocks"
    assert found[0] != found[1]


def test_splines_sum_to_one_and_reproduce_a_line() -> None:
    t = torch.linspace(0, 1, 11)
    weights = torch.stack(splines(t))
    torch.testing.assert_close(weights.sum(0), torch.ones(11))
    torch.testing.assert_close((weights * torch.arange(4.0)[:, None]).sum(0), 1 + t)


def test_a_deformation_folds_nowhere_and_keeps_the_edges() -> None:
    defense = KeyedDeformation(strength=0.48, cells=8, key="per_image")
    images = torch.zeros(40, 1, 65, 65)
    y, x = (torch.linspace(0, 1, 65) for _ in range(2))
    places = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)[None]
    rng = ReleaseRandom.for_images(2, [str(number) for number in range(40)])
    flow = defense.flow(defense._control(images, rng), places)
    assert float(flow.abs().max()) <= 0.48 / 8
    assert float(flow.abs().amax((1, 2, 3)).min()) > 0.2 / 8
    assert float(flow[:, :, [0, -1], 0].abs().max()) < 1e-6
    assert float(flow[:, [0, -1], :, 1].abs().max()) < 1e-6
    where = places + flow
    right, down = where.diff(dim=2)[:, :-1], where.diff(dim=1)[:, :, :-1]
    area = right[..., 0] * down[..., 1] - right[..., 1] * down[..., 0]
    assert float(area.min()) > 0


@pytest.mark.parametrize("holder", HOLDERS)
def test_the_key_undoes_a_deformation_but_for_what_interpolation_blurs(holder: str) -> None:
    y, x = (torch.linspace(0, 1, 64).view(shape) for shape in ((-1, 1), (1, -1)))
    smooth = torch.stack([0.5 + 0.2 * torch.sin(9 * x + n) + 0.2 * torch.cos(7 * y - n) for n in range(2)])
    images = to_pixels(smooth[:, None])
    defense = KeyedDeformation(strength=0.48, key=holder)
    after = published(defense, images)
    moved = np.abs(after.astype(int) - images).mean()
    left = np.abs(returned(defense, after).astype(int) - images)
    assert left.max() <= 3
    assert left.mean() < 0.1 * moved


def test_without_strength_nothing_is_deformed(pixels) -> None:
    images = pixels(3)
    np.testing.assert_array_equal(published(KeyedDeformation(strength=0), images), images)


@pytest.mark.parametrize(("key", "alike"), [("secret", True), ("public", True), ("per_image", False)])
def test_an_attackers_published_pairs_have_one_key_where_a_release_has_one(key, alike):
    defense = PixelRelocation(key=key)
    pixels = np.random.default_rng(0).integers(0, 256, size=(6, 16, 16), dtype=np.uint8)
    side = MechanismSide(defense, pixels)
    rows, device = np.arange(6), torch.device("cpu")
    probe, gallery = (side(rows, generator=side_generator(0, name, 2), device=device) for name in ("probe", "gallery"))
    later = side(rows, generator=side_generator(0, "probe", 3), device=device)
    assert torch.equal(probe, gallery) is alike
    # The next step has another key of the attacker's own.
    assert torch.equal(probe, later) is (key == "public")


def test_block_encryption_tells_of_the_break_that_no_attacker_carries_out():
    told = {key: BlockEncrypt(key=key).unmatched_break() for key in ("public", "secret", "per_image")}
    assert told["public"] is None
    assert told["secret"] is None
    assert "jigsaw" in told["per_image"]
    assert [one(key="per_image").unmatched_break() for one in KEYED if one is not BlockEncrypt] == [None] * 3
