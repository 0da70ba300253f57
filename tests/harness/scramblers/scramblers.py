"""Defenses that hide nothing from who knows them: one order of all pixels, an inversion, a turn."""

import torch

from reidbench import Defense, hookimpl


class PixelOrder(Defense):
    """Puts all pixels in one order, drawn once for all images."""

    name = "pixel_order"

    def transform(self, images, *, rng):
        order = torch.randperm(images[0].numel(), generator=torch.Generator().manual_seed(7))
        return images.flatten(1)[:, order.to(images.device)].view_as(images)


class Inversion(Defense):
    """Black for white."""

    name = "inversion"

    def transform(self, images, *, rng):
        return 1 - images


class QuarterTurn(Defense):
    """Turns images by 90 degrees."""

    name = "quarter_turn"

    def transform(self, images, *, rng):
        return images.rot90(1, (2, 3)).contiguous()


@hookimpl
def reidbench_defenses():
    return [PixelOrder, Inversion, QuarterTurn]
