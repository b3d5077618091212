"""The answers of questions about numbers, computed again from the questions alone."""

from __future__ import annotations

import math
import re
import statistics
from datetime import date, datetime, timedelta

import pytest

from edgeeval.prompts import ChoiceItem, find_sets, load_set

(TASKS,) = (load_set(path) for path in find_sets() if path.stem == "tasks-own")
QUESTIONS = {item.id: item for item in TASKS.items if isinstance(item, ChoiceItem)}


def _clock(hours: int, minutes: int, later: int) -> float:
    """Return a time of day, some minutes later, as hours.minutes."""
    time = datetime(2025, 1, 1, hours, minutes) + timedelta(minutes=later)
    return time.hour + time.minute / 100


def _children(total: float, ratio: float) -> float:
    """Return the smaller of two numbers with a sum, the other being `ratio` times as large."""
    return total / (1 + ratio)


def _next_prime(after: int) -> int:
    return next(
        n for n in range(after + 1, 2 * after) if all(n % d for d in range(2, math.isqrt(n) + 1))
    )


_COMPUTED: dict[str, float] = {
    "numbers-01": 2 * 60,
    "numbers-02": 1e3,
    "numbers-03": statistics.mean([4, 6, 11]),
    "numbers-06": 15 - 9,
    "numbers-07": 0.25 * 80,
    "numbers-08": 7 + 5,
    "numbers-09": 2 * 35,
    "numbers-10": 4 * 5,
    "numbers-11": math.factorial(3),
    "numbers-12": 9 * 8,
    "numbers-13": 10 + 5 - 1,
    "numbers-14": 3 / 4,
    "numbers-15": 4 * 7,
    "numbers-16": 10 - 3,
    "numbers-17": 40 * 0.9,
    "numbers-18": 6 * 4,
    "numbers-19": 360 / 4,
    "numbers-20": 200 / 4 * 6,
    "numbers-24": 50 / 2,
    "numbers-25": 100 - 37,
    "numbers-26": 12,
    "numbers-27": round(4872, -2),
    "numbers-29": 16 * 2,
    "numbers-30": math.isqrt(81),
    "numbers-31": (date(2025, 1, 1) - date(2024, 1, 1)).days,
    "numbers-32": 100,
    "numbers-33": max(0.5, 0.7, 0.25, 0.09),
    "numbers-34": -3 + 5,
    "numbers-36": 180 * (3 - 2),
    "numbers-37": (10 + 20) / 2,
    "numbers-39": 27 / 3,
    "numbers-41": 2 * 100,
    "numbers-42": 100 / 2,
    "numbers-43": 3 * 4 + 2,
    "numbers-44": _next_prime(13),
    "numbers-47": statistics.median([2, 9, 4, 7, 18]),
    "word-problems-01": 2 * 6,
    "word-problems-02": 10 - 3,
    "word-problems-03": 100 / 20,
    "word-problems-04": 18 - 4 + 7,
    "word-problems-05": 12 / 4,
    "word-problems-06": 2 * 3 + 4,
    "word-problems-07": 150 / 3,
    "word-problems-08": 30 - 12,
    "word-problems-09": 5 * 9,
    "word-problems-10": 8 + 5 + 2,
    "word-problems-11": 24 / 2 / 3,
    "word-problems-12": 60 - 60 / 4,
    "word-problems-13": 52 / 4,
    "word-problems-14": _clock(16, 45, 35),
    "word-problems-15": 240 / 3,
    "word-problems-16": 20 * 1.1 * 0.9,
    "word-problems-17": _children(27, 2),
    "word-problems-18": 1 / (1 / 20 / 2),
    "word-problems-19": 2 * (3 - 1),
    "word-problems-20": 2 * (10 + 6),
    "word-problems-21": 7 * 8 - 3,
    "word-problems-22": 5 * 2,
    "word-problems-23": 40 * 5 - 60,
    "word-problems-24": math.ceil(120 / 50),
    "word-problems-26": 15 * 6,
    "word-problems-27": 720 / 12,
    "word-problems-28": _clock(19, 50, 95),
    "word-problems-29": 3000 / 500,
    "word-problems-30": 50 * 2 / 5,
    "word-problems-31": 6 * 4 / 3,
    "word-problems-32": 80 - 4 * 5,
    "word-problems-33": 200 / 25,
    "word-problems-34": 6 / 4 * 2,
    "word-problems-35": 4 - -3,
    "word-problems-36": (100 / 20) ** 2,
    "word-problems-37": math.comb(9, 2),
    "word-problems-38": 12 / 3 * 2,
    "word-problems-39": 12 + 12 / 2,
    "word-problems-40": 9 + 2 * 4,
    "word-problems-42": 3 * 11 - 11,
    "word-problems-43": sum(range(1, 5)),
    "word-problems-44": 48 / 4,
    "word-problems-45": 5 * 90 / 60,
    "word-problems-46": (20 + 4) / 2,
    "word-problems-47": 3 * 5 + 2 * 4,
    "word-problems-48": 1500 / 250,
    "word-problems-49": 3 * 8 - 7 - 10,
    "word-problems-50": 300 * 0.02,
    "geography-04": 4 * 5,
    "computing-18": int("101", 2),
    "computing-36": range(10).index(2),
    "computing-42": 2 + 3 * 4,
    "computing-46": 17 + 1,
    "computing-55": 2 * 6,
    "logic-07": 12 + 3,
    "logic-19": 5 + 8,
    "logic-25": next(n for n in (2, 4, 6, 7, 8) if n % 2),
    "logic-28": int("".join({"C": "3", "A": "1", "B": "2"}[letter] for letter in "BAC")),
    "logic-59": 14 - 3,
}


def _value(option: str) -> float:
    """Return the number in an option: 16:45 as 16.45, "below zero" as negative."""
    (found,) = re.findall(r"\d+(?:[.,:]\d+)*", option)
    value = float(found.replace(",", "").replace(":", "."))
    return -value if "below zero" in option else value


@pytest.mark.parametrize("question", _COMPUTED)
def test_the_right_option_is_what_the_question_computes_to_and_no_other_is(question: str) -> None:
    item = QUESTIONS[question]
    right = [
        at
        for at, option in enumerate(item.options)
        if not re.search(r"and \d", option)
        and math.isclose(_value(option), _COMPUTED[question], rel_tol=1e-9)
    ]
    assert right == [item.answer]


def test_every_question_whose_options_are_numbers_is_among_them() -> None:
    """Of the two subjects that compute."""
    missing = [
        item.id
        for item in QUESTIONS.values()
        if item.groups["subject"] in ("numbers", "word_problems")
        and all(len(re.findall(r"\d+(?:[.,:]\d+)*", option)) == 1 for option in item.options)
        and item.id not in _COMPUTED
    ]
    assert missing == ["numbers-28"]  # which number is a prime: 13, 15, 21 and 33
    values = map(_value, QUESTIONS["numbers-28"].options)
    assert [value for value in values if _next_prime(int(value) - 1) == value] == [13]
