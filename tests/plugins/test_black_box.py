import pytest
import torch

from reidbench_plugins.black_box import BlackBox


def covered(defense: BlackBox, run, height: int = 48, width: int = 80) -> torch.Tensor:
    """Which pixels of an image are covered; all others must be untouched."""
    images = torch.rand(2, 1, height, width) * 0.5 + 0.25
    after = run(defense, images)
    mask = after == defense.value
    assert torch.equal(after[~mask], images[~mask])
    assert torch.equal(mask[0], mask[1])
    return mask[0, 0]


def expected(*boxes: tuple[slice, slice], height: int = 48, width: int = 80) -> torch.Tensor:
    mask = torch.zeros(height, width, dtype=torch.bool)
    for box in boxes:
        mask[box] = True
    return mask


def test_corners(run) -> None:
    top, bottom, left, right = slice(0, 12), slice(36, 48), slice(0, 20), slice(60, 80)
    mask = covered(BlackBox(where="corners", size=0.25), run)
    assert torch.equal(mask, expected((top, left), (top, right), (bottom, left), (bottom, right)))


def test_border(run) -> None:
    everything = slice(None)
    mask = covered(BlackBox(where="border", size=0.1), run, 50, 80)
    boxes = [(slice(0, 5), everything), (slice(45, 50), everything), (everything, slice(0, 8))]
    assert torch.equal(mask, expected(*boxes, (everything, slice(72, 80)), height=50))


def test_regions_are_relative_and_cover_what_they_touch(run) -> None:
    defense = BlackBox(where="regions", regions=((0.1, 0.5, 0.2, 0.25), (0.99, 0, 1, 0.001)), value=1)
    # Rows 4.8 to 14.4 and columns 40 to 60; the second box is cut off by the image and thinner than a pixel.
    assert torch.equal(covered(defense, run), expected((slice(4, 15), slice(40, 60)), (slice(47, 48), slice(0, 1))))


@pytest.mark.parametrize("size", [0.1, 0.2, 0.3, 0.7 / 2])
def test_boxes_are_no_pixel_larger_than_their_share(size: float, run) -> None:
    # 0.1 · 30 is 3.0000000000000004 in some orders of multiplication.
    mask = covered(BlackBox(where="border", size=size), run, 100, 100)
    assert int((~mask).sum()) == round(100 * (1 - 2 * size)) ** 2


def test_half_covers_all(run) -> None:
    assert covered(BlackBox(where="corners", size=0.5), run, 49, 81).all()


@pytest.mark.parametrize("region", [[1, 0, 0.1, 0.1], [0, -0.1, 0.1, 0.1], [0, 0, 0, 0.1], [0, 0, 0.1, 1.1]])
def test_regions_outside_the_image_are_refused(region: list[float]) -> None:
    with pytest.raises(ValueError, match="top and left must be in"):
        BlackBox.model_validate({"where": "regions", "regions": [region]})


@pytest.mark.parametrize("options", [{"where": "regions"}, {"where": "border", "regions": [[0, 0, 0.1, 0.1]]}])
def test_regions_and_their_choice_need_each_other(options: dict) -> None:
    with pytest.raises(ValueError, match="needs regions"):
        BlackBox.model_validate(options)
