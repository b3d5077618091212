"""Names in a figure: none covers another, and what all share is not repeated."""

from __future__ import annotations

import itertools

import pytest

from edgeeval.report.labels import Box, place_labels, without_common_prefix

CANVAS = Box(0, 0, 400, 300)


def test_a_lonely_point_has_its_name_to_the_right() -> None:
    (place,) = place_labels(["Q4_K_M"], [(100, 100)], [], CANVAS, 10)
    assert place is not None
    assert place.horizontal == "left"


def test_at_the_right_edge_the_name_goes_to_the_left() -> None:
    (place,) = place_labels(["Q4_K_M"], [(390, 100)], [], CANVAS, 10)
    assert place is not None
    assert place.horizontal == "right"


def test_names_of_a_crowd_do_not_overlap_and_some_are_left_out() -> None:
    points = [(100.0 + 3 * index, 100.0) for index in range(20)]
    texts = [f"level-{index}" for index in range(20)]
    places = place_labels(texts, points, [], CANVAS, 10)
    boxes = [
        place.box(*point, text, 10)
        for place, point, text in zip(places, points, texts, strict=True)
        if place is not None
    ]
    assert 2 <= len(boxes) < 20
    assert not any(one.meets(other) for one, other in itertools.combinations(boxes, 2))


def test_obstacles_are_not_covered() -> None:
    line = Box(0, 99, 400, 101)
    (place,) = place_labels(["Q4_K_M"], [(100, 100)], [line], CANVAS, 10)
    assert place is not None
    assert not place.box(100, 100, "Q4_K_M", 10).meets(line)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["SmolLM2-135M-Q4_K_M", "SmolLM2-135M-Q4_K_S"], ["Q4_K_M", "Q4_K_S"]),
        (["Q4_K_M", "Q4_K_S"], ["Q4_K_M", "Q4_K_S"]),
        (["SmolLM2-135M-Q4_K_M"], ["SmolLM2-135M-Q4_K_M"]),
        (["SmolLM2-135M-", "SmolLM2-135M-Q8_0"], ["SmolLM2-135M-", "SmolLM2-135M-Q8_0"]),
        ([], []),
    ],
)
def test_a_common_beginning_is_left_out(names: list[str], expected: list[str]) -> None:
    assert without_common_prefix(names) == expected
