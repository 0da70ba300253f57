"""Places for labels in a figure, so that they hide neither each other nor what they name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

# A label's reach by its size: a generous mean over the characters of a sans-serif font, since no font is at hand.
WIDTH, HEIGHT = 0.64, 1.1
# How far from what it names a label may lie, in pixels.
REACHES = (8.0, 16.0, 32.0)
# What a label may cover, and at what cost: another label, a marker, a step of a line.
LABEL, MARKER, STEP = 100.0, 40.0, 1.0


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels; y grows downwards."""

    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: Box) -> bool:
        """Whether both share more than an edge."""
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )

    def holds(self, other: Box) -> bool:
        """Whether the other lies within."""
        across = self.left <= other.left and other.right <= self.right
        return across and self.top <= other.top and other.bottom <= self.bottom


@dataclass
class Places:
    """What is taken in a figure.

    Attributes:
        frame: where labels may lie.
        markers: what they should not cover.
        steps: points along the lines, which they had better not cover.
    """

    frame: Box
    markers: list[Box] = field(default_factory=list)
    steps: list[tuple[float, float]] = field(default_factory=list)
    labels: list[Box] = field(default_factory=list)

    def place(self, text: str, x: float, y: float, size: float, *, needed: bool = True) -> tuple[float, float] | None:
        """The left end of a label's baseline near (x, y), taken from then on.

        Args:
            text: the label.
            x, y: what it names.
            size: of the font, in pixels.
            needed: place it where it covers least, if need be at a distance; else only close by, where it covers no
                other label and no marker.

        Returns:
            The place; None if there is none, or none is free.
        """
        boxes = _around(text, x, y, size, REACHES if needed else REACHES[:1])
        found = [(self._cost(box), number, box) for number, box in enumerate(boxes)]
        cost, _, box = min(found, key=lambda one: one[:2])
        if cost == float("inf") or (not needed and cost >= MARKER):
            return None
        self.labels.append(box)
        return box.left, box.bottom - 0.3 * size

    def _cost(self, box: Box) -> float:
        if not self.frame.holds(box):
            return float("inf")
        covered = sum(box.left < x < box.right and box.top < y < box.bottom for x, y in self.steps)
        return (
            LABEL * sum(map(box.overlaps, self.labels)) + MARKER * sum(map(box.overlaps, self.markers)) + STEP * covered
        )


def _around(text: str, x: float, y: float, size: float, reaches: Sequence[float]) -> Sequence[Box]:
    """Boxes beside, above and below a place, near ones first."""
    wide, tall = WIDTH * size * len(text), HEIGHT * size
    boxes = []
    for reach in reaches:
        for dx, dy in ((1, 0), (-1, 0), (0, -1), (0, 1), (1, -1), (-1, -1), (1, 1), (-1, 1)):
            middle_x, middle_y = x + dx * (wide / 2 + reach), y + dy * (tall / 2 + reach)
            boxes.append(Box(middle_x - wide / 2, middle_y - tall / 2, middle_x + wide / 2, middle_y + tall / 2))
    return boxes
