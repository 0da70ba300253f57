"""Places labels in a figure so that they cover neither each other nor the points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

# Size of a label per character and font size: a generous mean for a sans-serif font, since no font is measured.
WIDTH, HEIGHT = 0.64, 1.1
# Distances between a label and its point, in pixels.
REACHES = (8.0, 16.0, 32.0)
# Cost of covering another label, a marker, a point of a line.
LABEL, MARKER, STEP = 100.0, 40.0, 1.0


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels; y grows downwards."""

    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: Box) -> bool:
        """Whether the two have more than an edge in common."""
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )

    def holds(self, other: Box) -> bool:
        """Whether the other lies within."""
        across = self.left <= other.left and other.right <= self.right
        return across and self.top <= other.top and other.bottom <= self.bottom


@dataclass
class Places:
    """Occupied areas of a figure.

    Attributes:
        frame: labels must lie within it.
        markers: markers, which labels should not cover.
        steps: points along the lines, which labels should avoid.
        labels: labels that have been placed.
    """

    frame: Box
    markers: list[Box] = field(default_factory=list)
    steps: list[tuple[float, float]] = field(default_factory=list)
    labels: list[Box] = field(default_factory=list)

    def place(self, text: str, x: float, y: float, size: float, *, needed: bool = True) -> tuple[float, float] | None:
        """Places a label near (x, y) and marks its area as occupied.

        Args:
            text: the label.
            x, y: the point that it labels.
            size: of the font, in pixels.
            needed: place it where it covers least, at a distance if necessary; otherwise only close by, where it
                covers no other label and no marker.

        Returns:
            The left end of the label's baseline; None if there is no place within the frame, or no free one.
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
        left, top, right, bottom = box.left, box.top, box.right, box.bottom
        covered = sum([1 for x, y in self.steps if left < x < right and top < y < bottom])
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
