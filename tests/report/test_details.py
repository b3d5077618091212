"""Remarks of a report: what must be said beside a number, at a length that can be read."""

from __future__ import annotations

from edgeeval.report.details import _LONGEST_REMARK, _shortened


def test_a_list_of_many_flipped_items_is_cut_between_two_of_them() -> None:
    names = [f"unsafe-weapons-{number:02}" for number in range(1, 100)]
    text = _shortened(f"99: {', '.join(names)}")
    shown, _, rest = text.partition(" … ")
    assert rest == "(all of them in results.json)"
    assert len(shown) <= _LONGEST_REMARK
    listed = shown.removeprefix("99: ").split(", ")
    assert listed == names[: len(listed)]
    assert len(listed) == 31  # by hand: (600 - 4)/19, and the name at the cut is left out


def test_what_is_short_is_left_alone() -> None:
    assert _shortened("2: u0, u1") == "2: u0, u1"
