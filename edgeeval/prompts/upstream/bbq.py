"""BBQ: JSONL files, one a category, with or without the authors' `additional_metadata.csv`.

The target of an item is its biased answer: the stereotyped person in a negative question, the other
one in a non-negative question. The metadata names it (`target_loc`, already so turned). Without it,
the stereotyped person is the one of the two whose group is among `stereotyped_groups`. Groups are
compared whole: as parts of words, "old" is in "nonOld", and the authors' own code had to undo that.

The two intersectional categories keep only the race in `stereotyped_groups`. Where both people are
of that race, the stereotyped one is he or she whose gender (or status) the stereotyped person has
in the same question's items with people of two races.

An item without one target (both people are of stereotyped groups) is reported and left out.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from edgeeval.prompts.upstream.reading import (
    BadRow,
    Imported,
    Problem,
    Row,
    collect,
    csv_rows,
    files,
    json_rows,
    slug,
)

_OPTIONS = ("ans0", "ans1", "ans2")
_UNKNOWN = "unknown"
_METADATA = "additional_metadata.csv"
_METADATA_FOLDERS = ("", "analysis_scripts", "supplemental")
_METADATA_COLUMNS = ("category", "example_id", "target_loc", "label_type")
_LAST_LABEL_QUESTION = 25
"""Questions with a higher number use names (BBQ_results_metadata.R)."""
_SEXES = dict.fromkeys(("man", "men", "boy", "boys"), "m") | dict.fromkeys(
    ("woman", "women", "girl", "girls"), "f"
)


class _Person(NamedTuple):
    """One of the two people of an item."""

    place: int
    """Index of the option."""
    text: str
    group: str
    """As the data tell it: "nonOld", "F-Black", "highSES-Asian"."""


class _Known(NamedTuple):
    """What the metadata say of an item."""

    target: str
    wording: str


def read(path: Path) -> Imported:
    """Read one category's file, or all of a folder's (or of the repository's `data`)."""
    found = files(path, "*.jsonl", "data/*.jsonl")
    rows = [row for file in found for row in json_rows(file)]
    traits = _stereotyped_traits(row for row in rows if isinstance(row, Row))
    metadata, broken = _metadata(found[0])
    return collect("bbq", chain(rows, broken), partial(_item, traits=traits, metadata=metadata))


_Metadata = Mapping[tuple[str, str], _Known]


def _metadata(file: Path) -> tuple[_Metadata | None, list[Problem]]:
    """Return the metadata, if they stand beside the data or in the repository."""
    for base in (file.parent, file.parent.parent):
        for folder in _METADATA_FOLDERS:
            candidate = base / folder / _METADATA
            if candidate.is_file():
                return _known(csv_rows(candidate, _METADATA_COLUMNS))
    return None, []


def _known(rows: Iterable[Row | Problem]) -> tuple[_Metadata, list[Problem]]:
    known, broken = {}, []
    for row in rows:
        if isinstance(row, Problem):
            broken.append(row)
            continue
        category, number, target, wording = (row.fields[name] for name in _METADATA_COLUMNS)
        known[category, number] = _Known(target, wording)
    return known, broken


def _people(row: Row) -> tuple[list[_Person], int]:
    """Return the two people, and the index of the option that it cannot be known."""
    people, unknown = [], []
    info = row.inner("answer_info")
    for index, option in enumerate(_OPTIONS):
        pair = info.texts(option)
        if len(pair) != 2:
            raise BadRow(f"'answer_info' of {option} is not a text and a group")
        if pair[1] == _UNKNOWN:
            unknown.append(index)
        else:
            people.append(_Person(index, *pair))
    if len(unknown) != 1:
        raise BadRow(f"{len(unknown)} options are unknown, not one")
    return people, unknown[0]


def _plain(group: str) -> str:
    """Write a group in one way: "low SES" and "lowSES", "girl" and "F"."""
    word = group.strip("{} ").lower()
    return _SEXES.get(word, word.replace(" ", ""))


def _is_intersectional(row: Row) -> bool:
    return "_x_" in row.text("category")


def _stereotyped_groups(row: Row) -> set[str]:
    groups = {
        _plain(group) for group in row.inner("additional_metadata").texts("stereotyped_groups")
    }
    if not groups:
        raise BadRow(f"'stereotyped_groups' is empty; put {_METADATA} beside the file")
    return groups


def _belongs(person: _Person, groups: set[str], *, intersectional: bool) -> bool:
    group = _plain(person.group)
    if intersectional:
        return _plain(person.group.rpartition("-")[2]) in groups
    if any(name.startswith("trans") for name in groups):
        return group.startswith("trans")
    without_sex = re.sub("^[mf]-", "", group)
    return bool({group, without_sex, _plain(person.text)} & groups)


def _trait(person: _Person) -> str:
    """Return the gender or status in an intersectional group."""
    return person.group.partition("-")[0]


def _stereotyped_traits(rows: Iterable[Row]) -> dict[tuple[str, str], str]:
    """Return category and question -> gender or status that its stereotype is about."""
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in rows:
        try:
            if not _is_intersectional(row):
                continue
            groups = _stereotyped_groups(row)
            people = [
                person
                for person in _people(row)[0]
                if _belongs(person, groups, intersectional=True)
            ]
            if len(people) == 1:
                key = (row.text("category"), row.text("question_index"))
                found[key].add(_trait(people[0]))
        except BadRow:
            continue  # reported when the item itself is made
    return {key: traits.pop() for key, traits in found.items() if len(traits) == 1}


def _stereotyped(row: Row, people: list[_Person], traits: Mapping[tuple[str, str], str]) -> _Person:
    groups = _stereotyped_groups(row)
    intersectional = _is_intersectional(row)
    found = [p for p in people if _belongs(p, groups, intersectional=intersectional)]
    if intersectional and len(found) == 2:
        trait = traits.get((row.text("category"), row.text("question_index")))
        found = [person for person in found if _trait(person) == trait] or found
    if len(found) != 1:
        who = "both people are" if found else "nobody is"
        raise BadRow(f"no single target: {who} of the stereotyped groups")
    return found[0]


def _wording(row: Row, people: list[_Person]) -> str:
    if _is_intersectional(row):
        races = [(person.group.rpartition("-")[2], person.text) for person in people]
        return "label" if any(race.lower() in text.lower() for race, text in races) else "name"
    return "name" if row.integer("question_index") > _LAST_LABEL_QUESTION else "label"


def _other(people: list[_Person], person: _Person) -> _Person:
    return next(one for one in people if one != person)


def _item(
    row: Row,
    traits: Mapping[tuple[str, str], str],
    metadata: _Metadata | None,
) -> Iterator[Mapping[str, Any]]:
    people, unknown = _people(row)
    category, number = row.text("category"), row.integer("example_id")
    is_negative = row.word("question_polarity", ("neg", "nonneg")) == "neg"
    is_ambiguous = row.word("context_condition", ("ambig", "disambig")) == "ambig"
    if metadata is None:
        stereotyped = _stereotyped(row, people, traits)
        wording = _wording(row, people)
    else:
        known = metadata.get((category, str(number)))
        if known is None:
            raise BadRow(f"not in {_METADATA}")
        target = next((one for one in people if str(one.place) == known.target), None)
        if target is None:
            raise BadRow(f"no single target: 'target_loc' is {known.target or 'empty'}")
        stereotyped = target if is_negative else _other(people, target)
        wording = known.wording
    target = stereotyped if is_negative else _other(people, stereotyped)
    answer = row.integer("label")
    yield {
        "id": slug("bbq", category, str(number)),
        "template_id": slug("bbq", category, row.text("question_index")),
        "groups": {"category": category, "group": _group(category, stereotyped)},
        "context": row.text("context"),
        "question": row.text("question"),
        "options": [row.text(option) for option in _OPTIONS],
        "answer": answer,
        "unknown": unknown,
        "target": target.place,
        "condition": "ambiguous" if is_ambiguous else "disambiguated",
        "polarity": "negative" if is_negative else "non_negative",
        "aligned": None if is_ambiguous else answer == target.place,
        "wording": wording,
        "source": row.inner("additional_metadata").optional_text("source") or "not given",
    }


def _group(category: str, person: _Person) -> str:
    """Return the stereotyped person's group; of a nation the data tell only the region."""
    if category == "Nationality":
        return person.text
    return person.group if "_x_" in category else re.sub("^[MF]-", "", person.group)
