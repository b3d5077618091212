"""What the sets of kinds bbq, unqover and pairs keep: balance, targets, minimal differences."""

from __future__ import annotations

import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import pytest

from edgeeval.prompts import (
    BbqItem,
    PairItem,
    PromptSet,
    UnqoverItem,
    find_sets,
    load_set,
    suite_names,
)

_SETS = {path.stem: load_set(path) for path in find_sets() if path.stem.endswith("-own")}
BBQ_SET, UNQOVER_SET, PAIRS_SET = (_SETS[f"{kind}-own"] for kind in ("bbq", "unqover", "pairs"))
BBQ = [item for item in BBQ_SET.items if isinstance(item, BbqItem)]
UNQOVER = [item for item in UNQOVER_SET.items if isinstance(item, UnqoverItem)]
PAIRS = [item for item in PAIRS_SET.items if isinstance(item, PairItem)]

_MAX_TEMPLATE_SIMILARITY = 0.1
"""Jaccard similarity of word 3-grams between two templates with the people masked."""

_STEREOTYPED = {
    "older_workers": "sixty|retirement|oldest|late fifties|fifty-nine|grandchildren",
    "old_people": "great-aunt|grandfather|(?<!-)old|eighties|elderly|white-haired|eighty-year-old",
    "young_adults": "twenty|graduate|early twenties|in her twenties|nineteen-year-old",
    "teenagers": "teenage|fifteen|sixteen|fourteen-year-old|sixteen-year-old|sixth-former",
    "physical_disability": "wheelchair|prosthetic|crutches|one leg|cerebral|spinal|paralysed",
    "sensory_disability": "blind|deaf|cannot hear|hearing aids|partially sighted",
    "mental_illness": "schizophrenia|bipolar|depression|anxiety|panic|obsessive|psychiatrist",
    "developmental_disability": "autistic|Down|learning|dyslexia|ADHD|intellectual",
    "women": "woman|female|mother|Margaret|Laura|Susan|Emma",
    "men": "man|father|Gary|Robert|Daniel|Thomas",
    "transgender_people": "(?<!not )trans(?:gender)?",
    "nonbinary_people": "nonbinary|genderqueer",
    "african_nationalities": "Nigerian|Ghana|Ethiopian|Mali|Kenya|Congolese|Sierra Leone|Ugandan",
    "latin_american_nationalities": "Mexican|Guatemala|Colombian|Bolivia|Brazil|Argentina|Cuban",
    "asian_nationalities": "Chin(?:a|ese)|Japan|Korean|Indian|Bangladesh|Philippines|Thai",
    "eastern_european_nationalities": (
        "Romania|Bulgarian|Russian|Poland|Lithuanian|Ukraine|Slovakia|Hungarian"
    ),
    "fat_people": "heavy|plus-size|overweight|fat|eighteen stone|very large|stout",
    "short_people": "short|shorter|five foot three|below average",
    "tattooed_and_pierced_people": "tattooed|pierced|dragon tattoo|nose ring",
    "facially_different_or_plain_people": (
        "scarred|scar|acne|bad skin|birthmark|burned|unattractive|plain"
    ),
    "black_people": "Black|Darnell|Latoya|Tyrone|Tamika",
    "latino_people": "Latino|Latina|Hispanic|Luis|Miguel|Guadalupe|José",
    "asian_people": "Asian|Mei|Hiroshi|Linh|Wei",
    "arab_people": "Arab|Middle Eastern|Omar|Fatima|Mahmoud|Yasmin",
    "muslims": "Muslim",
    "jews": "Jewish",
    "atheists": "atheist|does not believe|unbelieving|without religion",
    "evangelical_christians": "evangelical|born-again",
    "poor_people": "poor|council estate|barely|low income|social housing|very small wage",
    "homeless_people": "homeless|shelter|rough sleeper|without a home|lives in her car",
    "unemployed_people": (
        "out of work|unemployed|jobless|laid-off|benefits|unemployment|no job since"
    ),
    "working_class_people": (
        "refuse collector|conveyor|bricklayer|factory|lorry|cleaner|plumber|warehouse"
    ),
    "gay_men": "gay|with a husband",
    "lesbian_women": "lesbian|with a wife",
    "bisexual_people": "bisexual",
    "asexual_people": "asexual",
}
"""Group -> words that tell the stereotyped person of a template, written apart from the items."""


def _is_stereotyped(item: BbqItem, option: str) -> bool:
    return bool(re.search(rf"\b(?:{_STEREOTYPED[item.groups['group']]})\b", option))


def _people(item: BbqItem) -> list[int]:
    return [index for index in range(3) if index != item.unknown]


def _stereotyped(item: BbqItem) -> int:
    """Return the index of the stereotyped person, by the table above and not by the target."""
    (found,) = (index for index in _people(item) if _is_stereotyped(item, item.options[index]))
    return found


def _other(item: BbqItem) -> int:
    (found,) = set(_people(item)) - {_stereotyped(item)}
    return found


def _mention(option: str) -> re.Pattern[str]:
    """Match a person in a running text: 'a tall woman', too, for 'The tall woman'."""
    core = re.escape(option.removeprefix("The "))
    article = r"(?:an? |the )" if option.startswith("The ") else ""
    return re.compile(rf"\b{article}{core}(?![\w-])", re.IGNORECASE)


def _named_first(item: BbqItem) -> int:
    def start(index: int) -> int:
        found = _mention(item.options[index]).search(item.context)
        assert found, (item.id, item.options[index])
        return found.start()

    return min(_people(item), key=start)


def _cell(item: BbqItem) -> tuple[str, str, bool | None]:
    return item.condition, item.polarity, item.aligned


def _by_template(items: Iterable[BbqItem]) -> dict[str, list[BbqItem]]:
    templates: dict[str, list[BbqItem]] = defaultdict(list)
    for item in items:
        templates[item.template_id].append(item)
    return templates


def _prefix(prompt_set: PromptSet, suite: str) -> list[BbqItem]:
    chosen = prompt_set.stratified()[: prompt_set.header.suites[suite]]
    return [item for item in chosen if isinstance(item, BbqItem)]


def _only(counts: Counter[object]) -> int:
    """Return the number of times that each of them occurs, which is the same for all."""
    (count,) = set(counts.values())
    return count


# -- bbq: size and balance -----------------------------------------------------------------------


def test_there_are_at_least_1600_questions_over_120_templates_and_nine_categories() -> None:
    templates = {item.template_id: item.groups for item in BBQ}
    assert len(BBQ) >= 1600
    assert len(templates) >= 120
    categories = Counter(groups["category"] for groups in templates.values())
    assert len(categories) == 9
    _only(Counter(categories))
    assert _only(Counter(item.groups["group"] for item in BBQ)) * 36 == len(BBQ)
    assert {item.groups["group"] for item in BBQ} == set(_STEREOTYPED)


def test_a_template_meets_every_condition_polarity_alignment_and_order_of_mention() -> None:
    for template, items in _by_template(BBQ).items():
        cells = Counter((*_cell(item), _named_first(item) == _stereotyped(item)) for item in items)
        wanted = {
            ("ambiguous", polarity, None, order): 2
            for polarity in ("negative", "non_negative")
            for order in (False, True)
        } | {
            ("disambiguated", polarity, aligned, order): 1
            for polarity in ("negative", "non_negative")
            for aligned in (False, True)
            for order in (False, True)
        }
        assert cells == wanted, template


def test_the_options_stand_in_every_order_equally_often_in_every_cell() -> None:
    """So that right, unknown and biased answer stand in each place exactly as often."""
    orders = Counter((*_cell(i), _stereotyped(i), _other(i), i.unknown) for i in BBQ)
    for cell in {key[:3] for key in orders}:
        here = Counter({key: n for key, n in orders.items() if key[:3] == cell})
        assert len(here) == 6
        _only(Counter(here))
    for part in ("answer", "unknown", "target"):
        for condition in ("ambiguous", "disambiguated"):
            places = Counter(getattr(i, part) for i in BBQ if i.condition == condition)
            assert len(places) == 3
            _only(Counter(places))


def test_unknown_is_said_in_at_least_ten_ways_equally_often() -> None:
    ways = Counter(item.options[item.unknown] for item in BBQ)
    assert len(ways) >= 10
    _only(Counter(ways))
    in_cells = Counter((_cell(item), item.options[item.unknown]) for item in BBQ)
    for cell in {cell for cell, _ in in_cells}:
        _only(Counter({way: in_cells[cell, way] for way in ways}))


@pytest.mark.parametrize(
    "suite", [suite for suite in suite_names() if BBQ_SET.header.suites[suite]]
)
def test_every_suite_is_balanced_over_category_condition_and_polarity(suite: str) -> None:
    items = _prefix(BBQ_SET, suite)
    cells = Counter((i.groups["category"], i.condition, i.polarity) for i in items)
    assert len(cells) == 9 * 2 * 2
    _only(Counter(cells))
    assert len({item.template_id for item in items}) == len(_by_template(BBQ))
    settled = Counter((i.polarity, i.aligned) for i in items if i.aligned is not None)
    assert max(settled.values()) - min(settled.values()) <= 1
    for part in ("answer", "unknown", "target"):
        places = Counter(getattr(item, part) for item in items)
        for place in range(3):
            assert places[place] / len(items) == pytest.approx(1 / 3, abs=0.03)


# -- bbq: what the fields say --------------------------------------------------------------------


def test_one_person_of_each_item_is_of_the_stereotyped_group() -> None:
    for item in BBQ:
        _stereotyped(item)


def test_the_target_is_the_stereotyped_person_only_in_a_negative_question() -> None:
    for item in BBQ:
        wanted = _stereotyped(item) if item.polarity == "negative" else _other(item)
        assert item.target == wanted, item.id


def test_what_is_right_of_one_person_in_a_negative_question_is_wrong_in_the_other() -> None:
    """Aligned, by definition: the trait that the negative question asks for is the stereotyped
    person's, whichever question is asked."""
    for item in BBQ:
        if item.condition == "disambiguated":
            has_trait = item.answer if item.polarity == "negative" else _other_person(item)
            assert item.aligned == (has_trait == _stereotyped(item)), item.id


def _other_person(item: BbqItem) -> int:
    (found,) = set(_people(item)) - {item.answer}
    return found


def _settling_text(item: BbqItem, ambiguous: Sequence[str]) -> str:
    """Return what a disambiguated context adds to the ambiguous one that it begins with."""
    (start,) = {context for context in ambiguous if item.context.startswith(f"{context} ")}
    return item.context.removeprefix(f"{start} ")


def _with_roles(item: BbqItem, text: str) -> str:
    """Put TRAIT for the person whom the negative question asks for, NONE for the other one."""
    trait = item.answer if item.polarity == "negative" else _other_person(item)
    for index, role in ((trait, "TRAIT"), (sum(_people(item)) - trait, "NONE")):
        text = _mention(item.options[index]).sub(role, text)
    return re.sub(r"\b(?:he|she|him|her|his|hers)\b", "PRONOUN", text, flags=re.IGNORECASE)


def test_the_settling_text_of_a_template_is_the_same_but_for_who_has_the_trait() -> None:
    """So that the answers of a template's eight settled items agree with each other: with roles in
    place of people, all eight read alike, whatever the question, the order and the alignment."""
    for template, items in _by_template(BBQ).items():
        ambiguous = [item.context for item in items if item.condition == "ambiguous"]
        settled = [item for item in items if item.condition == "disambiguated"]
        texts = {_with_roles(item, _settling_text(item, ambiguous)) for item in settled}
        assert len(texts) == 1, template
        (text,) = texts
        assert text.count("TRAIT") == text.count("NONE") == 1, template


def test_a_template_has_two_questions_of_its_own_and_one_source() -> None:
    owners: dict[str, set[str]] = defaultdict(set)
    for template, items in _by_template(BBQ).items():
        assert len({(item.polarity, item.question) for item in items}) == 2
        assert len({(item.source, item.wording, str(item.groups)) for item in items}) == 1
        for item in items:
            owners[item.question].add(template)
    assert [question for question, templates in owners.items() if len(templates) > 1] == []


def test_names_stand_for_groups_only_in_race_and_gender_and_are_marked() -> None:
    for item in BBQ:
        people = [item.options[index] for index in _people(item)]
        are_names = not any(re.match(r"(?:The|My) ", person) for person in people)
        assert are_names == (item.wording == "name"), item.id
    named = {i.template_id: i.groups["category"] for i in BBQ if i.wording == "name"}
    assert set(named.values()) == {"race_ethnicity", "gender_identity"}
    assert len(named) >= 12


def test_no_two_templates_are_nearly_the_same_when_the_people_are_masked() -> None:
    grams: dict[str, set[tuple[str, ...]]] = {}
    for template, items in _by_template(BBQ).items():
        item = next(item for item in items if item.condition == "disambiguated")
        questions = dict.fromkeys(other.question for other in items)
        words = re.findall(r"\w+", f"{_with_roles(item, item.context)} {' '.join(questions)}")
        grams[template] = {tuple(words[start : start + 3]) for start in range(len(words) - 2)}
    near = [
        (one, other)
        for one, other in itertools.combinations(grams, 2)
        if len(grams[one] & grams[other])
        > _MAX_TEMPLATE_SIMILARITY * len(grams[one] | grams[other])
    ]
    assert near == []


def test_no_more_than_seven_templates_begin_alike() -> None:
    starts = Counter(
        tuple(items[0].context.split()[:2]) for items in _by_template(BBQ).values()
    ).values()
    assert max(starts) <= 7


# -- unqover -------------------------------------------------------------------------------------

_WOMEN = {"Alice", "Karen", "Nancy", "Rachel", "Sophie", "Teresa"}
_MEN = {"Brian", "Edward", "Frank", "George", "Martin", "Steven"}


def _of_dimension(dimension: str) -> list[UnqoverItem]:
    return [item for item in UNQOVER if item.groups["dimension"] == dimension]


def _pair(item: UnqoverItem) -> tuple[str, ...]:
    return tuple(sorted(item.subjects))


DIMENSIONS = sorted({item.groups["dimension"] for item in UNQOVER})


def test_there_are_four_dimensions_and_800_to_1600_items() -> None:
    assert DIMENSIONS == ["country", "ethnicity", "gender_occupation", "religion"]
    assert 800 <= len(UNQOVER) <= 1600


@pytest.mark.parametrize("dimension", DIMENSIONS)
class TestADimension:
    def test_has_enough_subjects_attributes_and_contexts(self, dimension: str) -> None:
        items = _of_dimension(dimension)
        assert 8 <= len({subject for item in items for subject in item.subjects}) <= 12
        assert len({item.attribute for item in items}) >= 12
        assert len({item.context for item in items}) >= 4

    def test_has_a_template_for_every_context_with_every_attribute(self, dimension: str) -> None:
        items = _of_dimension(dimension)
        templates = {(item.context, item.attribute, item.template_id) for item in items}
        contexts, attributes, ids = (set(column) for column in zip(*templates, strict=True))
        assert len(templates) == len(ids) == len(contexts) * len(attributes)
        _only(Counter(item.template_id for item in items))
        assert len({(item.attribute, item.questions) for item in items}) == len(attributes)

    def test_is_balanced_over_pairs_attributes_contexts_and_places(self, dimension: str) -> None:
        items = _of_dimension(dimension)
        pairs = {_pair(item) for item in items}
        subjects = {subject for pair in pairs for subject in pair}
        met = Counter((_pair(item), item.attribute) for item in items)
        assert _only(Counter(met)) == 1
        assert len(met) == len(pairs) * len({item.attribute for item in items})
        assert _only(Counter((_pair(item), item.context) for item in items)) == 3
        assert _only(Counter(item.subjects for item in items)) * 2 == len(items) / len(pairs)
        seen = Counter((s, item.attribute, item.context) for item in items for s in item.subjects)
        assert set(seen.values()) == {1, 2}
        if dimension == "gender_occupation":
            assert subjects == _WOMEN | _MEN
            assert pairs == {tuple(sorted(pair)) for pair in itertools.product(_WOMEN, _MEN)}
        else:
            assert pairs == set(itertools.combinations(sorted(subjects), 2))

    def test_negates_the_attribute_and_changes_nothing_else(self, dimension: str) -> None:
        for asked, negated in {item.questions for item in _of_dimension(dimension)}:
            assert not re.search(r"\b(?:never|no|cannot)\b", asked)
            assert len(re.findall(r"\b(?:not|never|no|cannot)\b", negated)) == 1 + asked.count(
                " not "
            )
            assert asked.split()[-2:] == negated.split()[-2:]
            assert asked.split()[0] == negated.split()[0]

    def test_does_not_begin_a_sentence_with_a_subject(self, dimension: str) -> None:
        """So that a subject needs no capital letter, wherever it is put."""
        for context in {item.context for item in _of_dimension(dimension)}:
            assert not re.search(r"(?:^|[.?!] )\{x", context)


# -- pairs ---------------------------------------------------------------------------------------


def test_there_are_at_least_300_pairs_over_nine_types_half_of_either_direction() -> None:
    assert len(PAIRS) >= 300
    cells = Counter((item.groups["bias_type"], item.direction) for item in PAIRS)
    assert len(cells) == 9 * 2
    _only(Counter(cells))


def _difference(item: PairItem) -> tuple[list[str], list[str], list[str], list[str]]:
    """Return the words before the difference, after it, and of either side of it."""
    more, less = item.more.split(), item.less.split()
    before = [a for a, _ in itertools.takewhile(_same, zip(more, less, strict=False))]
    n = len(before)
    back = list(zip(reversed(more[n:]), reversed(less[n:]), strict=False))
    after = [a for a, _ in itertools.takewhile(_same, back)]
    end = len(after)
    return before, after, more[n : len(more) - end], less[n : len(less) - end]


def _same(pair: tuple[str, str]) -> bool:
    return pair[0] == pair[1]


def test_the_sentences_of_a_pair_differ_in_one_short_place() -> None:
    for item in PAIRS:
        before, after, more, less = _difference(item)
        assert len(before) + len(after) >= 5, item.id
        assert 1 <= len(more) <= 3, item.id
        assert 1 <= len(less) <= 3, item.id
        assert abs(len(more) - len(less)) <= 1, item.id


def test_every_pair_has_a_frame_of_its_own() -> None:
    frames = Counter((*before, "_", *after) for before, after, *_ in map(_difference, PAIRS))
    assert [frame for frame, count in frames.items() if count > 1] == []
    assert len({item.template_id for item in PAIRS}) == len(PAIRS)


# -- all three -----------------------------------------------------------------------------------


def _texts() -> Iterable[tuple[str, str]]:
    for bbq in BBQ:
        yield bbq.id, " ".join([bbq.context, bbq.question, *(f"{o}." for o in bbq.options)])
    for pair in PAIRS:
        yield pair.id, f"{pair.more} {pair.less}"
    for one in UNQOVER:
        x1, x2 = one.subjects
        context = one.context.replace("{x1}", x1).replace("{x2}", x2)
        yield one.id, f"{context} {' '.join(one.questions)}"


def test_articles_capitals_and_spaces_are_right() -> None:
    """a before a consonant's sound, an before a vowel's; two exceptions of either kind occur."""
    silent = {"hour", "honest"}
    spoken_as_consonant = {"Ugandan", "unicorn", "university"}
    for item_id, text in _texts():
        for article, word in re.findall(r"\b([Aa]n?) (\w+)", text):
            vowel = (word[0] in "aeiouAEIOU" or word in silent) and word not in spoken_as_consonant
            assert (article.lower() == "an") == vowel, (item_id, article, word)
        assert not re.search(r"(?:^|[.?!] )[a-z]|  | [,.;?!]|\{|\b(\w+) \1\b", text), item_id


def test_no_two_items_say_the_same() -> None:
    counts = Counter(text for _, text in _texts())
    assert [text for text, count in counts.items() if count > 1] == []
