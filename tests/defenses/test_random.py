"""The streams of a release: who shares one and who doesn't, and what numbers come out of it."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from reidbench import CohortDefense, Defense, Field, PluginError
from reidbench.defenses.fingerprint import identity
from reidbench.defenses.random import ReleaseRandom, TrainingRandom, stream_key, stream_of
from reidbench.defenses.release import draw_batch, release
from reidbench.networks.training import side_generator

IDS = [f"image{number}" for number in range(4)]


class Snow(Defense):
    """Publishes its random numbers, whatever its options."""

    name = "snow"
    level: float = Field(0.5, ge=0, le=1, description="of nothing")
    weights: str = Field("random", description="a file")

    def transform(self, images, *, rng):
        return rng.uniform_like(images)


class Sleet(Snow):
    name = "sleet"


class Hail(CohortDefense):
    """As Snow, from the stream of the set."""

    name = "hail"
    level: float = Field(0.5, ge=0, le=1, description="of nothing")

    def transform_cohort(self, pixels, patients, *, rng):
        return torch.randint(256, pixels.shape, generator=rng).to(torch.uint8).numpy()


class Frost(Snow):
    """As Snow, from the stream that all images of a release share."""

    name = "frost"

    def transform(self, images, *, rng):
        return rng.of_release().uniform(1, *images.shape[1:]).expand_as(images).clone()


class Unwritable(Snow):
    name = "unwritable"
    what: object = Field(default=object, description="nothing that JSON has")


def published(defense, *, seed: int = 7, draw: int = 0, ids: list[str] = IDS) -> np.ndarray:
    pixels = np.zeros((len(ids), 32, 48), dtype=np.uint8)
    return release(defense, pixels, ids, np.arange(len(ids)), seed=seed, draw=draw)


def alike(one: np.ndarray, other: np.ndarray) -> float:
    """The share of equal pixels; one in 256 between two independent releases."""
    return float((one == other).mean())


@pytest.mark.parametrize(
    "other",
    [
        (Snow(level=0.25), {}),
        (Snow(weights="imagenet"), {}),
        (Sleet(), {}),
        (Snow(), {"seed": 8}),
        (Snow(), {"seed": 7 + 2**32}),
        (Snow(), {"seed": 7 + 2**64}),
        (Snow(), {"seed": 7 + 2**127}),
        (Snow(), {"draw": 1}),
        (Snow(), {"ids": ["image4", "image5", "image6", "image7"]}),
        (Snow(), {"ids": IDS[1:] + IDS[:1]}),
    ],
    ids=str,
)
def test_what_differs_in_anything_shares_no_noise(other) -> None:
    defense, keywords = other
    assert alike(published(Snow()), published(defense, **keywords)) < 0.01


def test_what_is_the_same_has_the_same_noise(tmp_path: Path) -> None:
    assert alike(published(Snow()), published(Snow(level=0.5, weights="random"))) == 1, "a default is spelt out"
    assert alike(published(Snow())[1:3], published(Snow(), ids=IDS[1:3])) == 1
    assert alike(published(Snow(level=1)), published(Snow(level=1.0))) == 1
    # A file's content counts, and not where it lies.
    for folder, content in (("one", b"same"), ("two", b"same"), ("three", b"other")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "w.pth").write_bytes(content)
    one, two, three = (published(Snow(weights=str(tmp_path / name / "w.pth"))) for name in ("one", "two", "three"))
    assert alike(one, two) == 1
    assert alike(one, three) < 0.01


def test_a_set_has_a_stream_by_the_same_rules() -> None:
    first = published(Hail())
    assert alike(first, published(Hail())) == 1
    for other, keywords in ((Hail(level=0.1), {}), (Hail(), {"seed": 8}), (Hail(), {"draw": 1})):
        assert alike(first, published(other, **keywords)) < 0.01


def test_the_images_of_a_release_share_one_stream_whatever_the_batches() -> None:
    first = published(Frost())
    assert (first == first[:1]).all()
    assert alike(first, published(Frost(), ids=["others"])) == 1
    pixels = np.zeros((4, 32, 48), dtype=np.uint8)
    np.testing.assert_array_equal(release(Frost(), pixels, IDS, np.arange(4), seed=7, batch_size=1), first)
    for other, keywords in ((Frost(level=0.1), {}), (Frost(), {"seed": 8}), (Frost(), {"draw": 1})):
        assert alike(first, published(other, **keywords)) < 0.01
    # No image's own stream is that of the release, whatever the image is called.
    assert alike(first, published(Snow(), ids=["", "release", "cohort", "0"])) < 0.01


def test_an_attackers_batches_have_a_common_stream_each() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.zeros(3, 1, 8, 8)
    first, second = (draw_batch(Frost(), images, generator) for _ in range(2))
    assert torch.equal(first[0], first[2])
    assert not torch.equal(first, second)


def test_options_that_have_no_json_form_are_refused_by_name() -> None:
    with pytest.raises(PluginError, match=r"^unwritable: its options cannot be written as JSON"):
        identity(Unwritable())


def test_every_one_of_the_128_bits_makes_another_stream() -> None:
    key = stream_key(0, 0, "", "image")
    number = int.from_bytes(key, "little")
    keys = [key, *((number ^ (1 << bit)).to_bytes(16, "little") for bit in range(128))]
    first = {stream_of(key).standard_normal(8).tobytes() for key in keys}
    assert len(first) == 129


def test_among_many_images_none_share_a_key_and_32_bits_in_common_are_no_common_noise() -> None:
    ids = [f"{number:08}_{number % 12:03}.png" for number in range(200_000)]
    keys = [stream_key(0, 0, "snow", name) for name in ids]
    assert {len(key) for key in keys} == {16}
    assert len(set(keys)) == len(ids)
    for part in (slice(0, 4), slice(4, 8), slice(8, 12), slice(12, 16)):
        same = defaultdict(list)
        for name, key in zip(ids, keys, strict=True):
            same[key[part]].append(name)
        pairs = [names for names in same.values() if len(names) > 1]
        assert pairs, "some five are to be expected; torch's seeds would be equal for those of the first part"
        for names in pairs:
            drawn = ReleaseRandom.for_images(0, names, defense="snow").normal_like(torch.zeros(len(names), 50))
            assert len(drawn.unique()) > 45 * len(names)


PARTS = st.tuples(
    st.integers(0, 2**130),
    st.integers(0, 20),
    st.text(max_size=6),
    st.text(max_size=6),
    st.sampled_from(["image", "fit"]),
)


@settings(max_examples=200)
@given(one=PARTS, other=PARTS)
@example(one=(1, 2, "", "", "image"), other=(12, 0, "", "", "image"))
@example(one=(1, 0, "a", "b", "image"), other=(1, 0, "a\x00b", "", "image"))
@example(one=(1, 0, 'a","b', "", "image"), other=(1, 0, "a", 'b","', "image"))
@example(one=(1, 0, "a", "", "image"), other=(1, 0, "a", "", "fit"))
@example(one=(1, 0, "a", "\udc80", "image"), other=(1, 0, "a", "\\udc80", "image"))
def test_no_part_of_a_key_runs_into_another(one, other) -> None:
    first, second = (stream_key(*parts[:4], purpose=parts[4]) for parts in (one, other))
    assert (first == second) == (one == other)


def test_keys_stay_what_they_are() -> None:
    # Published images are made again from their seed: whoever changes this makes other ones.
    key = stream_key(20_220, 1, '["gaussian_noise",{"sigma":0.1}]', "00000001_000.png")
    assert key.hex() == "536dc6b185591100d5f3d0de315c7e5b"


def drawn(rng: ReleaseRandom, what: str, batch: int) -> torch.Tensor:
    ramp = torch.linspace(0, 50, 6 * 7).view(1, 1, 6, 7).repeat(batch, 1, 1, 1)
    if what == "seeded":
        return rng.seeded(ramp, lambda images: images + torch.rand(images.shape))
    if what == "uniform":
        return rng.uniform(batch, 2, 3)
    return getattr(rng, what)(ramp)


@pytest.mark.parametrize("what", ["normal_like", "uniform_like", "laplace_like", "poisson", "uniform", "seeded"])
def test_an_images_numbers_are_its_own_in_any_batch_and_order(what: str) -> None:
    whole = drawn(ReleaseRandom.for_images(1, IDS), what, 4)
    assert whole.dtype == torch.float32
    assert len({row.numpy().tobytes() for row in whole}) == 4
    backwards = drawn(ReleaseRandom.for_images(1, IDS[::-1]), what, 4)
    assert torch.equal(backwards.flip(0), whole)
    for row, name in zip(whole, IDS, strict=True):
        assert torch.equal(drawn(ReleaseRandom.for_images(1, [name]), what, 1)[0], row)
    assert drawn(ReleaseRandom.for_images(1, []), what, 0).shape == (0, *whole.shape[1:])
    rng = ReleaseRandom.for_images(1, IDS)
    assert not torch.equal(drawn(rng, what, 4), drawn(rng, what, 4)), "a second draw is another"


@pytest.mark.parametrize("what", ["normal_like", "uniform_like", "laplace_like", "poisson", "seeded"])
def test_an_attackers_own_numbers_differ_from_image_to_image(what: str) -> None:
    first, again = (drawn(TrainingRandom(torch.Generator().manual_seed(0), 4), what, 4) for _ in range(2))
    assert torch.equal(first, again)
    assert len({row.numpy().tobytes() for row in first}) == 4
    assert drawn(TrainingRandom(torch.Generator(), 0), what, 0).shape == (0, 1, 6, 7)


@pytest.fixture(params=["release", "training"])
def two_images(request) -> ReleaseRandom:
    if request.param == "release":
        return ReleaseRandom.for_images(3, ["a", "b"])
    return TrainingRandom(torch.Generator().manual_seed(3), 2)


@pytest.mark.parametrize(
    ("what", "law"),
    [("normal_like", stats.norm), ("uniform_like", stats.uniform), ("laplace_like", stats.laplace)],
)
def test_numbers_follow_their_law(two_images: ReleaseRandom, what: str, law) -> None:
    rows = getattr(two_images, what)(torch.zeros(2, 1, 500, 500)).double().flatten(1).numpy()
    for row in rows:
        assert stats.kstest(row, law.cdf).pvalue > 1e-3
        mean, variance, skew, kurtosis = (float(moment) for moment in law.stats(moments="mvsk"))
        assert row.mean() == pytest.approx(mean, abs=4 * (variance / row.size) ** 0.5)
        assert row.var() == pytest.approx(variance, rel=4 * ((kurtosis + 2) / row.size) ** 0.5)
        assert stats.skew(row) == pytest.approx(skew, abs=0.05)
        assert stats.kurtosis(row) == pytest.approx(kurtosis, abs=0.25)
    assert abs(np.corrcoef(rows)[0, 1]) < 4 / rows.shape[1] ** 0.5
    for row in rows:
        assert abs(np.corrcoef(row[1:], row[:-1])[0, 1]) < 4 / row.size**0.5


@pytest.mark.parametrize("rate", [0.0, 0.3, 7.0, 250.0])
def test_counts_follow_poissons_law(two_images: ReleaseRandom, rate: float) -> None:
    counts = two_images.poisson(torch.full((2, 1, 300, 300), rate)).numpy().ravel().astype(int)
    low, high = stats.poisson.ppf([1e-3, 1 - 1e-3], rate) if rate else (0, 0)
    edges = np.arange(low, high + 1)
    seen = np.bincount(counts.clip(int(low), int(high)) - int(low), minlength=len(edges))
    cdf = stats.poisson.cdf(edges, rate)
    cdf[-1] = 1
    if len(edges) == 1:
        assert not counts.any()
        return
    assert stats.chisquare(seen, np.diff(cdf, prepend=0) * counts.size).pvalue > 1e-3


def test_rates_may_differ_from_pixel_to_pixel(two_images: ReleaseRandom) -> None:
    rate = torch.tensor([0.0, 1.0, 1000.0]).view(1, 1, 3, 1).expand(2, 1, 3, 4000)
    means = two_images.poisson(rate).mean(dim=(0, 1, 3))
    assert means.tolist() == pytest.approx([0, 1, 1000], rel=0.05)


def test_laplace_tails_are_neither_short_nor_coarse() -> None:
    # By inversion of 24 bits they would end at 16, and most of those beyond 10 would equal another.
    numbers = ReleaseRandom.for_images(0, list("abcdefgh")).laplace_like(torch.zeros(8, 1, 1000, 2000)).abs()
    for beyond in (4, 8, 10, 12, 14):
        expected = numbers.numel() * np.exp(-beyond)
        assert float((numbers > beyond).sum()) == pytest.approx(expected, abs=4 * expected**0.5)
    far = numbers[numbers > 10]
    assert len(far.unique()) > 0.99 * len(far)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_uniform_numbers_stay_below_one_in_every_type(two_images: ReleaseRandom, dtype: torch.dtype) -> None:
    numbers = two_images.uniform_like(torch.empty(2, 1000, 1000, dtype=dtype))
    assert numbers.dtype == dtype
    assert 0 <= float(numbers.min()) < 1e-3
    assert 0.99 < float(numbers.max()) < 1
    assert float(numbers.double().mean()) == pytest.approx(0.5 - torch.finfo(dtype).eps / 4, abs=1e-3)


def test_both_sides_of_a_training_step_share_a_release_and_nothing_else():
    def numbers(side, *step):
        generator = side_generator(3, side, *step)
        images = torch.zeros(4, 1, 8, 8)
        found = TrainingRandom(generator, 4)
        return found.of_release().uniform(1, 5), found.normal_like(images), found.of_release().uniform(1, 5)

    probe, gallery, later = numbers("probe", 7), numbers("gallery", 7), numbers("gallery", 8)
    assert torch.equal(probe[0], gallery[0])
    # A common key begins anew at each call.
    assert torch.equal(probe[0], probe[2])
    assert not torch.equal(probe[1], gallery[1])
    assert not torch.equal(gallery[0], later[0])
