"""Places labels in a figure so that they cover neither each other nor the points."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import dist, inf

# Size of a label per character and font size: a generous mean for a sans-serif font, since no font is measured.
WIDTH, HEIGHT = 0.68, 1.1
# Between a label close by and its point, in pixels; a line leads to labels farther than the second.
CLOSE, LED = 8.0, 15.0
# Labels farther away are tried in this many rows above and below, at these distances to the left and to the right.
ROWS, COLUMNS = 14, (8.0, 40.0, 90.0)
# Cost of covering a marker or a point of a line, of a leading line that crosses a label or another, and of each pixel
# between a label and its point. A label never covers another.
MARKER, STEP, CROSSED, PIXEL = 40.0, 1.0, 30.0, 0.25


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


Line = tuple[float, float, float, float]


@dataclass(frozen=True)
class Placed:
    """Where a label stands.

    Attributes:
        x, y: the left end of its baseline.
        leader: the ends of a line from the point to the label, (x, y, x, y); None close by, where none is needed.
    """

    x: float
    y: float
    leader: Line | None


@dataclass
class Places:
    """Occupied areas of a figure.

    Attributes:
        frame: labels must lie within it.
        markers: markers, which labels should not cover.
        steps: points along the lines, which labels should avoid.
        labels: labels that have been placed, none of which may be covered.
        leaders: lines that lead to them.
    """

    frame: Box
    markers: list[Box] = field(default_factory=list)
    steps: list[tuple[float, float]] = field(default_factory=list)
    labels: list[Box] = field(default_factory=list)
    leaders: list[Line] = field(default_factory=list)

    def place(self, text: str, x: float, y: float, size: float, *, needed: bool = True) -> Placed | None:
        """Places a label near (x, y) and marks its area as occupied.

        Args:
            text: the label.
            x, y: the point that it labels.
            size: of the font, in pixels.
            needed: place it where it costs least, at a distance if necessary; otherwise only close by, where it
                covers no marker.

        Returns:
            Its place; None if there is none within the frame that is free of other labels.
        """
        best: tuple[float, Box, Line | None] | None = None
        for away, box in _around(text, x, y, size, far=needed):
            # They come by their distance: farther out nothing can cost less.
            if best is not None and best[0] <= PIXEL * away:
                break
            leader = _leader(x, y, box) if away > LED else None
            cost = PIXEL * away + self._cost(box, leader)
            if best is None or cost < best[0]:
                best = cost, box, leader
        if best is None or best[0] == inf or (not needed and best[0] >= MARKER):
            return None
        _, box, leader = best
        self.labels.append(box)
        if leader is not None:
            self.leaders.append(leader)
        return Placed(box.left, box.bottom - 0.3 * size, leader)

    def covered(self, box: Box) -> float:
        """What a label at this place would cover: markers, and points of lines."""
        left, top, right, bottom = box.left, box.top, box.right, box.bottom
        points = sum([1 for x, y in self.steps if left < x < right and top < y < bottom])
        return MARKER * sum(map(box.overlaps, self.markers)) + STEP * points

    def _cost(self, box: Box, leader: Line | None) -> float:
        if not self.frame.holds(box) or any(map(box.overlaps, self.labels)):
            return inf
        crossed = sum(_crosses(line, box) for line in self.leaders)
        if leader is not None:
            crossed += sum(_crosses(leader, other) for other in self.labels)
            crossed += sum(_cross(leader, other) for other in self.leaders)
        return self.covered(box) + CROSSED * crossed


def _around(text: str, x: float, y: float, size: float, *, far: bool) -> list[tuple[float, Box]]:
    """Boxes around a place with their distance from it, the nearest first; only those close by unless ``far``."""
    wide, tall = WIDTH * size * len(text), HEIGHT * size
    middles = [(dx * (wide / 2 + CLOSE), dy * (tall / 2 + CLOSE)) for dx, dy in _DIRECTIONS]
    if far:
        rows = [n * (tall + 1) for n in range(-ROWS, ROWS + 1)]
        beside = [sign * (wide / 2 + away) for away in COLUMNS for sign in (1, -1)]
        middles += [(dx, dy) for dy in rows for dx in beside]
        middles += [(0.0, dy) for dy in rows if abs(dy) > tall / 2 + CLOSE]
    boxes = [Box(x + dx - wide / 2, y + dy - tall / 2, x + dx + wide / 2, y + dy + tall / 2) for dx, dy in middles]
    found = [(dist((x, y), _leader(x, y, box)[2:]), box) for box in boxes]
    # Those at one distance stay in their order.
    return sorted(found, key=lambda one: round(one[0], 1))


_DIRECTIONS = (
    *((1, 0), (-1, 0), (0, -1), (0, 1), (1, -1), (-1, -1), (1, 1), (-1, 1)),
    *((0.5, -1), (-0.5, -1), (0.5, 1), (-0.5, 1)),
)


def _leader(x: float, y: float, box: Box) -> Line:
    """From a point to the nearest place on the edge of a box."""
    return x, y, min(max(x, box.left), box.right), min(max(y, box.top), box.bottom)


def _crosses(line: Line, box: Box) -> bool:
    """Whether a line passes through a box."""
    corners = ((box.left, box.top), (box.right, box.top), (box.right, box.bottom), (box.left, box.bottom))
    return any(_cross(line, (*one, *other)) for one, other in zip(corners, (*corners[1:], corners[0])))


def _cross(one: Line, other: Line) -> bool:
    """Whether two lines cross between their ends."""
    a, b = (one[0], one[1]), (one[2], one[3])
    c, d = (other[0], other[1]), (other[2], other[3])
    return _side(a, b, c) * _side(a, b, d) < 0 and _side(c, d, a) * _side(c, d, b) < 0


def _side(a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
