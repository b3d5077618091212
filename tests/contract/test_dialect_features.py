"""Every dialect sentence shows the feature that it is filed under, and its source says what it is.

`_CHANGES` says, apart from the items, which words a feature may exchange, add or leave out. The
titles and ratings of eWAVE's features are in `ewave.csv`, taken from the data that its editors
publish (github.com/cldf-datasets/ewave, CC BY 3.0: Kortmann, Lunkenheimer and Ehret, eds., 2020).
"""

from __future__ import annotations

import csv
import difflib
import re
from pathlib import Path

import pytest

from edgeeval.prompts import DialectItem, PromptSet, find_sets, load_set

SETS = [load_set(path) for path in find_sets() if path.stem.startswith("dialect-")]
_BE, _HAVE, _DO = "(am|is|are)", "(have|has)", "(do|does|did)"
_AUX = "(do|does|did|is|are|was|will|would|can|could|should|had|have|has)"
_WORD = r"[\w']+"

_SHARED = {
    "negative-concord": r"(any|any\w+|ever) > (no|no\w+|never)( \| any > (no|none))?",
    "negative-inversion": rf" > (\w+n't|ain't)( \| ({_WORD} > {_WORD}|{_AUX} > ))?",
    "aint-for-be": r"(am not|are not|is not|isn't|aren't) > ain't",
    "aint-for-have": r"(haven't|hasn't) > ain't",
    "completive-done": rf"{_HAVE} already( \w+)? > done( \w+)?",
    "was-levelling": "were > was",
    "them-demonstrative": "those > them",
    "regular-reflexive": "(himself > hisself|themselves > theirselves)",
    "who-all": rf"({_BE}|{_HAVE})? > all( are| have)?",
}
_CHANGES = {
    "dialect-aae": _SHARED
    | {
        "habitual-be": rf"({_BE} (usually|often|always) > be|usually \w+ > be \w+ing)",
        "zero-copula-noun": f"{_BE} > ",
        "zero-copula-adjective": f"{_BE} > ",
        "zero-copula-place": f"{_BE} > ",
        "zero-auxiliary-be": f"{_BE} > ",
        "zero-auxiliary-have": f"{_HAVE} > ",
        "zero-third-person-s": r"(?P<verb>\w+)s > (?P=verb)",
        "aint-for-didnt": "didn't > ain't",
        "remote-past-been": rf"((was|{_HAVE}( \w+)?)? > (been)?( \w+)? \| )"
        r"((for )?(a long time|ages|years|long)( ago)? > )",
        "gon-future": rf"(({_BE} )?going to > gon|are >  \| going to > gon)",
        "finna": f"({_BE} )?about to > finna",
        "existential-it": "there('s)? > it('s)?",
        "preterite-had": " > had",
        "zero-possessive-s": r"(?P<owner>\w+)'s > (?P=owner)",
        "associative-and-them": "(her|his|the) (friends|family|others|people|team) > them",
        "embedded-inversion": rf"(if)? > {_AUX} \| ({_AUX} > |(?P<stem>\w+?)(ed|s) > (?P=stem))",
        "question-without-auxiliary": f"({_BE}|{_DO}|{_HAVE}) > ",
        "possessive-they": "their > they",
        "double-comparative": " > (more|most)",
        "resultative-be-done": r"have( \w+)? > be done( \w+)?",
        "intensive-steady": "keeps? > steady",
    },
    "dialect-appalachian": _SHARED
    | {
        "a-prefixing": r"(?P<verb>\w+ing) > a-(?P=verb)",
        "double-modal": "(be able to > (could|can)|probably > might| > would)",
        "personal-dative": "(my|your|our)sel(f|ves) > (me|you|us)|(him|her|them)sel(f|ves) > "
        "(him|her|them)",
        "liketa": "nearly > liketa",
        "fixing-to": "about > fixing",
        "existential-they": "there('s)? > they('s)?",
        "invariant-dont": "doesn't > don't",
        "possessive-in-n": "(?P<whose>his|our|your|her|their)s? > (?P=whose)n",
        "plural-you": "(you > you'uns| > all)",
        "here-and-there-demonstrative": " > (here|there)",
        "for-to-infinitive": " > for",
        "need-with-participle": "to be > ",
        "positive-anymore": "nowadays > anymore",
        "unmarked-past": "(came > come|gave > give|ran > run)",
        "regular-past": r"(?P<stem>\w\w)\w+ > (\w{2,}ed)",
        "past-for-participle": r"(gone > went|\w+en > (wrote|took|ate|broke|drove|froze|fell))",
        "zero-plural-of-measure": r"(feet > foot|(?P<unit>\w+?)(e?s) > (?P=unit))",
        "zero-subject-relative": "who > ",
        "embedded-inversion": rf"(if)? > {_AUX} \| ({_AUX} > |(?P<stem>\w+?)(ed|s) > (?P=stem))",
        "verbal-s-after-plural-noun": r"(?P<verb>\w+) > (?P=verb)s",
    },
    "dialect-indian": _SHARED
    | {
        "stative-progressive": rf"({_DO} > {_BE} \| )?\w+ > ({_BE} )?\w+ing",
        "habitual-progressive": rf"\w+ > {_BE} \w+ing",
        "perfect-with-past-adverb": rf"(\w+)? > {_HAVE}( \w+)?",
        "present-for-continuing-perfect": rf"{_HAVE} (been > {_BE}|known > know)|have > are \| "
        "been > ",
        "would-for-will": "will > would",
        "zero-definite-article": r"the > ( \| the > )?",
        "zero-indefinite-article": r"an? > ( \| a > )?",
        "extra-definite-article": " > the",
        "plural-of-mass-noun": r"(?P<noun>\w+?)y? > (?P=noun)(ie)?s",
        "object-drop": "(it|them) > ",
        "inserted-it-after-as": " > it",
        "dropped-stranded-preposition": "(at|in|about|on|to|with) > ",
        "invariant-tag": r"\w+n't (you|she|they|we|he) > isn't it",
        "embedded-inversion": rf" > {_AUX} \| ({_AUX} > |(?P<stem>\w+?)(ed|s) > (?P=stem))",
        "wh-question-without-inversion": rf"( > (?P<who>\w+) \| (?P=who) > |{_AUX} >  \| "
        rf"( > {_BE}|pay > paid))",
        "yes-no-question-without-inversion": r"( > (?P<who>\w+) \| (?P=who) > |(is|has) >  \| "
        " > (is|has))",
        "fronted-object": r" > (?P<front>[\w ]+) \| (?P=front) > ",
        "non-initial-existential-there": r"there (?P<verb>is|are|was|were) >  \|  > (?P=verb) "
        r"there| > any problem \| any problem > ",
        "focus-only": r"(just|right) >  \|  > only",
        "focus-itself": r"(right|very) >  \|  > itself",
        "new-prepositional-verb": " > (about|of|on|for)",
        "that-clause-for-infinitive": r"( > that \| to > should|(me|us|him) to > that (i|we|he) "
        "should)",
        "make-with-to": " > to",
        "correlative-conjunctions": " > (but|so)",
        "too-for-very": "(very > too( much)?| > much)",
        "indefinite-one": "a > one",
        "pluperfect-for-past": r"(\w+)? > had( \w+)?",
        "new-ditransitive": "(with|of) > ",
    },
}
"""Set -> feature -> the changes that make a dialect's sentence of its standard twin:
"words of the twin > words of the dialect", joined by " | ", in lower case."""


def _words(text: str) -> list[str]:
    return re.findall(r"[\w'-]+", text.casefold())


def _changes(item: DialectItem) -> str:
    standard, dialect = _words(item.standard), _words(item.dialect)
    matcher = difflib.SequenceMatcher(None, standard, dialect, autojunk=False)
    return " | ".join(
        f"{' '.join(standard[i:j])} > {' '.join(dialect[k:m])}"
        for tag, i, j, k, m in matcher.get_opcodes()
        if tag != "equal"
    )


def _pairs(prompt_set: PromptSet) -> list[DialectItem]:
    return [item for item in prompt_set.items if isinstance(item, DialectItem)]


def _plain(title: str) -> str:
    """Return a title in straight quotes, those around one word or phrase left out."""
    straight = re.sub("[\u02bc\u2018\u2019]", "'", title)
    return " ".join(re.sub('[\u201c\u201d"]', "", straight).split())


@pytest.mark.parametrize("prompt_set", SETS, ids=lambda one: one.id)
def test_a_dialect_sentence_differs_from_its_twin_by_its_feature_and_nothing_else(
    prompt_set: PromptSet,
) -> None:
    patterns = _CHANGES[prompt_set.id]
    assert not any(re.fullmatch(pattern, "") for pattern in patterns.values())
    others = {
        item.id: _changes(item)
        for item in _pairs(prompt_set)
        if not re.fullmatch(patterns[item.groups["feature"]], _changes(item))
    }
    assert others == {}


@pytest.mark.parametrize("prompt_set", SETS, ids=lambda one: one.id)
def test_a_source_in_ewave_has_the_title_and_the_ratings_of_its_feature(
    prompt_set: PromptSet,
) -> None:
    """Oracle: eWAVE's own table. A feature that its raters call absent (D, X) is not shown."""
    with (Path(__file__).parent / "ewave.csv").open(encoding="utf-8", newline="") as lines:
        rows = {
            int(one["feature"]): one for one in csv.DictReader(lines) if one["set"] == prompt_set.id
        }
    named = {item.feature_source for item in _pairs(prompt_set)}
    seen = set()
    for source in named:
        if not source.startswith("eWAVE "):
            continue
        found = re.match(
            r"eWAVE (\d+), (.+) \(((?:urban |rural )?[ABC](?:, rural [ABC])?)\)", source
        )
        assert found, source
        row = rows[int(found[1])]
        assert _plain(found[2]) == _plain(row["title"])
        assert re.findall("[A-DX]", found[3]) == row["ratings"].split()
        assert set(row["ratings"].split()) <= {"A", "B", "C"}
        seen.add(int(found[1]))
    assert seen == set(rows)
    assert len(seen) >= 23
