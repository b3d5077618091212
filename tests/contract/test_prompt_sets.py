"""What every prompt set in prompts/ keeps, whoever writes the next one."""

from __future__ import annotations

import re
from collections import Counter
from typing import get_args

import pytest

from edgeeval.prompts import (
    BbqItem,
    ChoiceItem,
    DialectItem,
    Header,
    OpenItem,
    PairItem,
    PromptSet,
    RefusalItem,
    TextItem,
    UnqoverItem,
    find_sets,
    load_set,
    load_suite,
    suite_names,
    suite_sets,
)
from edgeeval.prompts.items import Item

SETS = [load_set(path) for path in find_sets()]
_MAX_CHANGED = 0.45
"""Share of a pair's words, of the longer sentence's, that only one of the two has."""


def _of(set_id: str) -> PromptSet:
    (found,) = (one for one in SETS if one.id == set_id)
    return found


def _of_kind(kind: str) -> list[PromptSet]:
    return [one for one in SETS if one.header.kind == kind]


def _id(prompt_set: PromptSet) -> str:
    return prompt_set.id


def _text(item: Item) -> str:
    if isinstance(item, ChoiceItem):
        return " ".join([item.question, *item.options])
    if isinstance(item, OpenItem | RefusalItem):
        return item.prompt
    if isinstance(item, DialectItem):
        return f"{item.dialect} {item.standard}"
    if isinstance(item, BbqItem):
        return f"{item.context} {item.question}"
    if isinstance(item, UnqoverItem):
        return " ".join([item.context, *item.questions, *item.subjects])
    if isinstance(item, PairItem):
        return item.more
    return item.text or "\n".join(turn.content for turn in item.messages)


def _words(text: str) -> list[str]:
    return re.findall(r"[\w']+", text.casefold())


# -- every set -----------------------------------------------------------------------------------


def test_there_are_sets_of_every_kind() -> None:
    kinds = get_args(Header.model_fields["kind"].annotation)
    assert {one.header.kind for one in SETS} == set(kinds)


def test_a_set_has_the_name_of_its_file() -> None:
    assert [one.id for one in SETS] == [path.stem for path in find_sets()]


def test_item_ids_are_unique_over_all_sets() -> None:
    counts = Counter(item.id for one in SETS for item in one.items)
    assert [item_id for item_id, count in counts.items() if count > 1] == []


def test_no_template_is_shared_by_two_sets() -> None:
    """Items of one template are one cluster; sets of one pool are averaged together."""
    counts = Counter(
        template for one in SETS for template in {item.template_id for item in one.items}
    )
    assert [template for template, count in counts.items() if count > 1] == []


@pytest.mark.parametrize("prompt_set", SETS, ids=_id)
def test_a_header_names_known_suites_our_licence_and_limits(prompt_set: PromptSet) -> None:
    header = prompt_set.header
    assert set(header.suites) <= set(suite_names())
    assert header.licence == "CC-BY-4.0"
    assert header.authors == "edgeeval contributors"
    assert header.source.startswith("Written for edgeeval")
    assert len(header.limits.split()) >= 15


@pytest.mark.parametrize("prompt_set", SETS, ids=_id)
def test_a_larger_suite_takes_at_least_as_many_items(prompt_set: PromptSet) -> None:
    sizes = [prompt_set.header.suites.get(suite, 0) for suite in suite_names()]
    assert suite_names() == ["quick", "standard", "full"]
    assert 0 <= sizes[0] <= sizes[1] <= sizes[2]
    assert sizes[1] > 0, "a set that standard leaves out decides nothing"
    assert sizes[0] > 0 or prompt_set.header.kind not in {"text", "choice"}
    if prompt_set.header.kind != "text":
        assert sizes[2] <= len(prompt_set.items)


@pytest.mark.parametrize("prompt_set", _of_kind("text"), ids=_id)
def test_a_text_is_long_enough_for_the_windows_of_every_suite(prompt_set: PromptSet) -> None:
    """Oracle: GPT-2's pre-tokenizer cuts words and runs of punctuation apart, so that no tokenizer
    of its family makes fewer tokens than there are of those; German and Spanish words take more
    (Gemma's tokenizer, which made the fewest tokens of six tried on these texts: 1.39 and 1.24).
    """
    n_pieces = sum(len(re.findall(r"\w+|[^\w\s]+", _text(item))) for item in prompt_set.items)
    n_tokens_at_least = n_pieces * {"text-german": 1.3, "text-spanish": 1.2}.get(prompt_set.id, 1)
    for name, windows in prompt_set.header.suites.items():
        assert n_tokens_at_least >= windows * load_suite(name).n_ctx


@pytest.mark.parametrize("prompt_set", SETS, ids=_id)
def test_no_text_is_there_twice(prompt_set: PromptSet) -> None:
    counts = Counter(" ".join(_text(item).casefold().split()) for item in prompt_set.items)
    assert [text for text, count in counts.items() if count > 1] == []


@pytest.mark.parametrize("prompt_set", SETS, ids=_id)
def test_no_text_begins_or_ends_with_space_or_speaks_a_templates_language(
    prompt_set: PromptSet,
) -> None:
    for item in prompt_set.items:
        assert _text(item) == _text(item).strip(), item.id
        assert not re.search(r"<\|\w+\|>|\[/?INST\]|</?s>", _text(item)), item.id


def test_every_suite_finds_its_sets_with_the_sizes_of_their_headers() -> None:
    for name in suite_names():
        found = {one.id: size for one, _, size in suite_sets(load_suite(name))}
        sizes = {one.id: one.header.suites[name] for one in SETS}
        assert found == {set_id: size for set_id, size in sizes.items() if size}


# -- tasks ---------------------------------------------------------------------------------------


def test_there_are_1000_questions_over_17_subjects_and_the_larger_suites_take_all() -> None:
    prompt_set = _of("tasks-own")
    subjects = Counter(item.groups["subject"] for item in prompt_set.items)
    assert subjects.total() == 1000
    assert len(subjects) == 17
    assert min(subjects.values()) >= 45
    assert max(subjects.values()) <= 70
    assert prompt_set.header.suites == {"quick": 240, "standard": 1000, "full": 1000}


def test_a_question_has_four_options_and_is_a_template_of_its_own() -> None:
    for item in _of("tasks-own").items:
        assert isinstance(item, ChoiceItem)
        assert len({" ".join(option.casefold().split()) for option in item.options}) == 4, item.id
        assert item.template_id == item.id


@pytest.mark.parametrize("prompt_set", _of_kind("choice"), ids=_id)
@pytest.mark.parametrize("suite", suite_names())
def test_the_right_option_stands_in_every_position_equally_often(
    prompt_set: PromptSet, suite: str
) -> None:
    """So that a model which prefers a position gains nothing: shares within 5 points of equal."""
    chosen = prompt_set.stratified()[: prompt_set.header.suites[suite]]
    items = [item for item in chosen if isinstance(item, ChoiceItem)]
    for n_options in {len(item.options) for item in items}:
        answers = Counter(item.answer for item in items if len(item.options) == n_options)
        for position in range(n_options):
            assert answers[position] / answers.total() == pytest.approx(1 / n_options, abs=0.05)


@pytest.mark.parametrize("prompt_set", _of_kind("choice"), ids=_id)
def test_the_right_option_is_not_told_by_its_length(prompt_set: PromptSet) -> None:
    """Choosing the longest option must not do much better than choosing at random."""
    items = [item for item in prompt_set.items if isinstance(item, ChoiceItem)]
    for pick in (max, min):
        chosen = [pick(range(len(i.options)), key=lambda n, i=i: len(i.options[n])) for i in items]
        hits = sum(item.answer == n for item, n in zip(items, chosen, strict=True))
        by_chance = sum(1 / len(item.options) for item in items)
        assert hits <= 1.4 * by_chance


@pytest.mark.parametrize("suite", suite_names())
def test_our_right_options_are_longest_or_shortest_no_more_often_than_by_chance(suite: str) -> None:
    """Oracle: a guesser who takes the longest (or the shortest) option and breaks ties at random
    has one chance in four with each of our questions; one standard error of that is allowed.
    """
    prompt_set = _of("tasks-own")
    chosen = prompt_set.stratified()[: prompt_set.header.suites[suite]]
    for extreme in (max, min):
        hits = 0.0
        for item in chosen:
            assert isinstance(item, ChoiceItem)
            lengths = [len(option) for option in item.options]
            taken = extreme(lengths)
            hits += (lengths[item.answer] == taken) / lengths.count(taken)
        assert hits / len(chosen) <= 0.25 + (0.25 * 0.75 / len(chosen)) ** 0.5


def test_a_number_is_not_told_by_its_size_among_the_others() -> None:
    """Oracle: where each of four options holds a number of its own, a guesser who always takes the
    smallest (the second, the third, the largest) has one chance in four; one standard error of
    that is allowed.
    """
    ranks = []
    for item in _of("tasks-own").items:
        assert isinstance(item, ChoiceItem)
        found = [re.findall(r"\d+(?:[.,:]\d+)*", option) for option in item.options]
        if all(len(numbers) == 1 for numbers in found):
            values = [float(one.replace(",", "").replace(":", ".")) for (one,) in found]
            if len(set(values)) == 4:
                ranks.append(sorted(values).index(values[item.answer]))
    assert len(ranks) >= 100
    for rank in range(4):
        assert ranks.count(rank) / len(ranks) <= 0.25 + (0.25 * 0.75 / len(ranks)) ** 0.5


# -- open prompts --------------------------------------------------------------------------------


def test_there_are_480_prompts_over_20_groups_in_equal_numbers() -> None:
    groups = Counter(item.groups["identity"] for item in _of("open-groups").items)
    assert len(groups) == 20
    assert set(groups.values()) == {24}


@pytest.mark.parametrize("suite", suite_names())
def test_every_suite_takes_each_group_equally_often(suite: str) -> None:
    prompt_set = _of("open-groups")
    chosen = prompt_set.stratified()[: prompt_set.header.suites[suite]]
    groups = Counter(item.groups["identity"] for item in chosen)
    assert len(groups) == 20
    assert len(set(groups.values())) == 1


def test_15_templates_are_shared_by_the_groups() -> None:
    shared = Counter(item.template_id for item in _of("open-groups").items)
    assert sum(count > 1 for count in shared.values()) == 15


def test_the_larger_suites_take_600_open_prompts_and_quick_48() -> None:
    def taken(suite: str) -> int:
        return sum(one.header.suites[suite] for one in SETS if one.header.pool == "open-own")

    assert [taken(suite) for suite in ("quick", "standard", "full")] == [48, 600, 600]


def test_a_template_of_groups_meets_each_group_once() -> None:
    prompt_set = _of("open-groups")
    groups = {item.groups["identity"] for item in prompt_set.items}
    shared = Counter(item.template_id for item in prompt_set.items)
    for template, count in shared.items():
        if count > 1:
            met = {i.groups["identity"] for i in prompt_set.items if i.template_id == template}
            assert met == groups
            assert count == len(groups)


def test_there_are_at_least_100_neutral_prompts_without_a_group() -> None:
    items = _of("open-neutral").items
    assert len(items) >= 100
    assert {item.groups["identity"] for item in items} == {"none"}


# -- dialect -------------------------------------------------------------------------------------


def _pairs(prompt_set: PromptSet) -> list[DialectItem]:
    return [item for item in prompt_set.items if isinstance(item, DialectItem)]


def test_there_are_at_least_three_varieties_one_a_set() -> None:
    varieties = [{i.groups["variety"] for i in _pairs(one)} for one in _of_kind("dialect")]
    assert all(len(variety) == 1 for variety in varieties)
    assert len(set.union(*varieties)) == len(varieties) >= 3
    assert "african-american" in set.union(*varieties)


@pytest.mark.parametrize("prompt_set", _of_kind("dialect"), ids=_id)
def test_a_variety_has_at_least_230_pairs_over_at_least_25_features(
    prompt_set: PromptSet,
) -> None:
    features = Counter(item.groups["feature"] for item in _pairs(prompt_set))
    assert features.total() >= 230
    assert len(features) >= 25
    assert min(features.values()) >= 8
    assert max(features.values()) <= 12


@pytest.mark.parametrize("prompt_set", _of_kind("dialect"), ids=_id)
def test_a_feature_is_one_cluster_with_one_source(prompt_set: PromptSet) -> None:
    """A source names a feature of eWAVE, or works that the header gives in full, or both."""
    named = {
        (item.groups["feature"], item.template_id, item.feature_source)
        for item in _pairs(prompt_set)
    }
    assert len(named) == len({feature for feature, _, _ in named})
    for _, template, source in named:
        works = re.findall(r"[A-Z][^;()]*? \(\d{4}\)", re.sub(r"eWAVE [^;]+\)(; |$)", "", source))
        assert works or re.match(r"eWAVE \d{1,3}, .+ \(.*[ABC]\)", source), template
        assert all(work in prompt_set.header.source for work in works), template


@pytest.mark.parametrize("prompt_set", _of_kind("dialect"), ids=_id)
def test_a_pair_differs_in_little_but_its_feature(prompt_set: PromptSet) -> None:
    """Words are counted without their order, which is what some of the features are."""
    for item in _pairs(prompt_set):
        one, other = _words(item.dialect), _words(item.standard)
        changed = max(
            (Counter(one) - Counter(other)).total(), (Counter(other) - Counter(one)).total()
        )
        assert one != other, item.id
        assert changed <= _MAX_CHANGED * max(len(one), len(other)), item.id


@pytest.mark.parametrize("prompt_set", _of_kind("dialect"), ids=_id)
def test_both_of_a_pair_are_sentences_with_the_same_end(prompt_set: PromptSet) -> None:
    for item in _pairs(prompt_set):
        for sentence in (item.dialect, item.standard):
            assert re.fullmatch(r"[A-Z].*\w[.?]", sentence), item.id
            assert "  " not in sentence, item.id
        assert item.dialect[-1] == item.standard[-1], item.id


def test_no_sentence_stands_in_two_varieties() -> None:
    pairs = [item for one in _of_kind("dialect") for item in _pairs(one)]
    for member in ("dialect", "standard"):
        counts = Counter(getattr(item, member) for item in pairs)
        assert [sentence for sentence, count in counts.items() if count > 1] == []


def test_every_variety_says_that_its_sentences_are_constructed() -> None:
    for prompt_set in _of_kind("dialect"):
        assert "Constructed" in prompt_set.header.limits
        assert "not checked by native speakers" in prompt_set.header.limits


# -- refusal -------------------------------------------------------------------------------------

_XSTEST_TYPES = {
    "homonyms",
    "figurative-language",
    "safe-targets",
    "safe-contexts",
    "definitions",
    "nonsense-group",
    "nonsense-discrimination",
    "historical-events",
    "public-privacy",
    "fictional-privacy",
}


def _requests(set_id: str) -> list[RefusalItem]:
    return [item for item in _of(set_id).items if isinstance(item, RefusalItem)]


def test_there_are_at_least_320_unsafe_requests_over_10_hazards_in_equal_numbers() -> None:
    requests = _requests("refusal-unsafe")
    hazards = Counter(item.groups["hazard"] for item in requests)
    assert all(item.unsafe for item in requests)
    assert hazards.total() >= 320
    assert len(hazards) == 10
    assert len(set(hazards.values())) == 1


def test_there_are_at_least_320_safe_requests_of_the_10_types_of_xstest() -> None:
    requests = _requests("refusal-safe")
    types = Counter(item.groups["safe_type"] for item in requests)
    assert not any(item.unsafe for item in requests)
    assert types.total() >= 320
    assert set(types) == _XSTEST_TYPES
    assert len(set(types.values())) == 1


@pytest.mark.parametrize("prompt_set", _of_kind("refusal"), ids=_id)
def test_requests_do_not_all_begin_alike(prompt_set: PromptSet) -> None:
    """No two words open more than one request in fifteen."""
    openings = Counter(tuple(_words(_text(item))[:2]) for item in prompt_set.items)
    assert max(openings.values()) <= len(prompt_set.items) / 15


@pytest.mark.parametrize("kind", ["dialect", "refusal"])
def test_a_prefix_of_the_stratified_order_holds_every_group_equally_often(kind: str) -> None:
    for prompt_set in _of_kind(kind):
        ordered = [tuple(sorted(item.groups.items())) for item in prompt_set.stratified()]
        groups = set(ordered)
        for size in (len(groups), 100, 230):
            counts = Counter(ordered[:size])
            assert set(counts) == groups
            assert max(counts.values()) - min(counts.values()) <= 1


# -- texts ---------------------------------------------------------------------------------------


def test_the_texts_are_of_8_kinds_one_a_set() -> None:
    kinds = [{item.groups["kind"] for item in one.items} for one in _of_kind("text")]
    assert all(len(kind) == 1 for kind in kinds)
    assert len(set.union(*kinds)) == len(kinds) == 8


def test_the_turns_of_a_conversation_alternate_and_a_person_begins() -> None:
    items = [item for one in _of_kind("text") for item in one.items if isinstance(item, TextItem)]
    conversations = [item for item in items if item.messages]
    assert conversations
    for item in conversations:
        roles = [turn.role for turn in item.messages if turn.role != "system"]
        assert roles == (["user", "assistant"] * len(roles))[: len(roles)], item.id
