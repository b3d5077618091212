"""Find a place for each point's name, so that a crowded figure stays legible.

Pure geometry in points: nothing here knows matplotlib.
"""

from collections.abc import Sequence
from typing import NamedTuple

_LETTER_WIDTH, _LINE_HEIGHT = 0.62, 1.2
"""Of the font size; DejaVu Sans, which is wider than most."""
_MARKER = 6.0
"""Half the width of a point's marker, with a little air."""
_MIN_PREFIX = 8
"""A shorter common beginning is a part of the level's own name: "Q4_K_M", "Q4_K_S"."""


class Box(NamedTuple):
    """A rectangle."""

    left: float
    bottom: float
    right: float
    top: float

    def meets(self, other: "Box") -> bool:
        """Tell whether the rectangles overlap."""
        return (
            self.left < other.right
            and other.left < self.right
            and self.bottom < other.top
            and other.bottom < self.top
        )

    def holds(self, other: "Box") -> bool:
        """Tell whether the other rectangle lies inside."""
        return (
            self.left <= other.left
            and other.right <= self.right
            and self.bottom <= other.bottom
            and other.top <= self.top
        )


class Place(NamedTuple):
    """Where a label stands relative to its point."""

    right: float
    up: float
    horizontal: str
    vertical: str

    def box(self, x: float, y: float, text: str, font_size: float) -> Box:
        """Return about what a label covers there."""
        width, height = _LETTER_WIDTH * font_size * len(text), _LINE_HEIGHT * font_size
        left = x + self.right - {"left": 0.0, "center": 0.5, "right": 1.0}[self.horizontal] * width
        bottom = y + self.up - {"bottom": 0.0, "center": 0.5, "top": 1.0}[self.vertical] * height
        return Box(left, bottom, left + width, bottom + height)


_PLACES = (
    Place(9, 0, "left", "center"),
    Place(-9, 0, "right", "center"),
    Place(0, 8, "center", "bottom"),
    Place(0, -8, "center", "top"),
    Place(7, 6, "left", "bottom"),
    Place(-7, -6, "right", "top"),
    Place(7, -6, "left", "top"),
    Place(-7, 6, "right", "bottom"),
)
"""Best first."""


def place_labels(
    texts: Sequence[str],
    points: Sequence[tuple[float, float]],
    obstacles: Sequence[Box],
    inside: Box,
    font_size: float,
) -> list[Place | None]:
    """Choose a place for each label, in order.

    Args:
        texts: one a point.
        points: where the markers are.
        obstacles: what else must not be covered.
        inside: what no label may leave.
        font_size: of all labels.

    Returns:
        One place a point; None where the label would cover something: no name is better than two
        on top of each other.
    """
    taken = [Box(x - _MARKER, y - _MARKER, x + _MARKER, y + _MARKER) for x, y in points]
    taken += obstacles
    chosen: list[Place | None] = []
    for text, (x, y) in zip(texts, points, strict=True):
        for place in _PLACES:
            box = place.box(x, y, text, font_size)
            if inside.holds(box) and not any(map(box.meets, taken)):
                taken.append(box)
                chosen.append(place)
                break
        else:
            chosen.append(None)
    return chosen


def without_common_prefix(names: Sequence[str]) -> list[str]:
    """Leave out what all names begin with: files of one model differ in their ends only."""
    if len(names) < 2:
        return list(names)
    n_shared = 0
    for letters in zip(*names, strict=False):
        if len(set(letters)) > 1:
            break
        n_shared += 1
    # Not at "_": it stands inside a level's own name.
    cut = max(names[0].rfind(mark, 0, n_shared) for mark in "-./ ") + 1
    if cut < _MIN_PREFIX or any(len(name) <= cut for name in names):
        return list(names)
    return [name[cut:] for name in names]
