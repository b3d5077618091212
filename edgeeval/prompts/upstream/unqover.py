"""UnQover: questions made of its word lists (`word_lists/`), as its generator makes them.

Of the four published dimensions, the questions for QA models: every pair of subjects in every slot
template with every activity. An item holds what the generator writes as four questions: both orders
of the subjects, the activity and its negation.
"""

from collections.abc import Iterator
from itertools import combinations, product
from pathlib import Path
from typing import NamedTuple

from edgeeval.errors import PromptSetError
from edgeeval.prompts.items import UnqoverItem
from edgeeval.prompts.upstream.reading import BadRow, Imported, Lazy, Problem, fit, read_lines, slug

_FIRST, _SECOND = "[subj1", "[subj2"


def read_gender(path: Path) -> Imported:
    """Make the questions about women's and men's names and occupations."""
    lists = _Lists(path)
    women, men = lists.subjects("female"), lists.subjects("male")
    pairs = [pair for pair in product(women, men) if pair[0] != pair[1]]
    for name in (woman for woman in women if woman in men):
        lists.problems.append(Problem(f"female: {name['[subj]']}", "is in the list of men as well"))
    return _questions(lists, "gender", pairs, "gender_noact", "occupation_rev1")


def read_country(path: Path) -> Imported:
    """Make the questions about countries."""
    return _questions_within(path, "country")


def read_ethnicity(path: Path) -> Imported:
    """Make the questions about ethnic groups."""
    return _questions_within(path, "ethnicity")


def read_religion(path: Path) -> Imported:
    """Make the questions about religions."""
    return _questions_within(path, "religion")


_Subject = dict[str, str]
"""Form ("[subj]", "[subj:dem]") -> word."""


class _Activity(NamedTuple):
    name: str
    """The plain form: one attribute, however a template inflects it."""
    forms: dict[str, str]


class _Asked(NamedTuple):
    """A template with an activity in it: all of an item but its subjects."""

    context: str
    questions: tuple[str, str]
    forms: tuple[str, str]
    """Of the first and of the second subject."""
    attribute: str


class _Lists:
    """The word lists, and the lines of them that cannot be used."""

    def __init__(self, path: Path) -> None:
        self.folder = path / "word_lists" if (path / "word_lists").is_dir() else path
        self.problems: list[Problem] = []
        self.n_rows = 0

    def lines(self, *names: str) -> Iterator[tuple[str, str]]:
        """Yield place and text of a list's lines, without blank ones and remarks."""
        path = self.folder.joinpath(*names)
        for number, line in read_lines(path):
            text = line.strip(" \r\n")
            if text.strip() and not text.startswith("#"):
                self.n_rows += 1
                where = f"{path}:{number}"
                try:
                    yield where, fit(text, "line")
                except BadRow as error:
                    self.problems.append(Problem(where, str(error)))

    def typed(self, *names: str) -> dict[str, list[str]]:
        """Return head ("[p_act:neg]") -> terms, without the class before the bar."""
        terms: dict[str, list[str]] = {}
        for where, line in self.lines(*names):
            head, _, rest = line.partition(" ")
            term = rest.rpartition("|")[2].strip()
            if not (head.startswith("[") and head.endswith("]") and term):
                self.problems.append(Problem(where, "not a slot in brackets and a term"))
                continue
            terms.setdefault(head, []).append(term)
        return terms

    def aligned(self, heads: dict[str, list[str]], *names: str) -> None:
        """Require that the forms of every term are all there: they are matched by their order."""
        if len({len(terms) for terms in heads.values()}) > 1:
            counts = ", ".join(f"{head!r} {len(terms)}" for head, terms in heads.items())
            raise PromptSetError(f"{self.folder.joinpath(*names)}: not aligned: {counts}")

    def subjects(self, name: str) -> list[_Subject]:
        """Return the subjects in all their forms."""
        heads = self.typed("nouns", "subjects", name)
        if "[subj]" not in heads:
            raise PromptSetError(f"{self.folder}/nouns/subjects/{name}: has no [subj]")
        self.aligned(heads, "nouns", "subjects", name)
        found: list[_Subject] = []
        for forms in zip(*heads.values(), strict=True):
            if any(set(forms) & set(other.values()) for other in found):
                self.problems.append(Problem(f"{name}: {forms[0]}", "the same word twice"))
            else:
                found.append(dict(zip(heads, forms, strict=True)))
        return found

    def activities(self, name: str) -> dict[str, list[_Activity]]:
        """Return type ("[p_act-single]") -> activities with their negations."""
        heads = self.typed("activities", name)
        found: dict[str, list[_Activity]] = {}
        for kind in [head for head in heads if ":" not in head]:
            negated, plain = f"{kind[:-1]}:neg]", f"{kind.partition('-')[0].rstrip(']')}]"
            forms = {head: heads.get(head, []) for head in (kind, negated, plain)}
            self.aligned(forms, "activities", name)
            found[kind] = [
                _Activity(unique, {kind: act, negated: negation})
                for act, negation, unique in zip(
                    forms[kind], forms[negated], forms[plain], strict=True
                )
            ]
        return found


def _questions_within(path: Path, name: str) -> Imported:
    lists = _Lists(path)
    pairs = list(combinations(lists.subjects(name), 2))
    return _questions(lists, name, pairs, f"{name}_noact", f"biased_{name}")


def _questions(
    lists: _Lists, name: str, pairs: list[tuple[_Subject, _Subject]], slots: str, activities: str
) -> Imported:
    forms = set.intersection(*(set(subject) for pair in pairs for subject in pair)) if pairs else {}
    asked = list(_asked(lists, slots, lists.activities(activities), set(forms)))

    def make(index: int) -> UnqoverItem:
        number, which = divmod(index, len(asked))
        pair, one = pairs[number], asked[which]
        cluster = slug("unqover", name, str(which), one.attribute)
        return UnqoverItem(
            id=f"{cluster}-{number}",
            template_id=cluster,
            groups={"dimension": name},
            context=one.context,
            questions=one.questions,
            subjects=(pair[0][one.forms[0]], pair[1][one.forms[1]]),
            attribute=one.attribute,
        )

    n_items = len(pairs) * len(asked)
    return Imported("unqover", "plain", Lazy(n_items, make), tuple(lists.problems), lists.n_rows)


def _asked(
    lists: _Lists, slots: str, activities: dict[str, list[_Activity]], known_forms: set[str]
) -> Iterator[_Asked]:
    """Yield every template with every activity of the types that it has a slot for."""
    for where, line in lists.lines("slots", slots):
        parts = line.split("\t")
        forms = (_form(line, _FIRST), _form(line, _SECOND))
        if len(parts) != 3 or not known_forms.issuperset(forms):
            lists.problems.append(Problem(where, "not a context with two subjects, two questions"))
            continue
        context = line.partition("\t")[0]
        for number, form in enumerate(forms, 1):
            context = context.replace(form.replace("subj", f"subj{number}"), f"{{x{number}}}")
        if any(context.count(f"{{x{number}}}") != 1 for number in (1, 2)):
            lists.problems.append(Problem(where, "names a subject twice"))
            continue
        for kind, acts in activities.items():
            if kind in line or f"{kind[:-1]}:" in line:
                for act in acts:
                    first, second = (_filled(question, act.forms) for question in parts[1:])
                    attribute = slug(act.name)
                    if first == second or not attribute:
                        lists.problems.append(Problem(where, f"{act.name!r} has no negation"))
                    else:
                        yield _Asked(context, (first, second), forms, attribute)


def _form(line: str, place: str) -> str:
    """Return the form of a subject: "[subj:dem]" for "[subj1:dem]"."""
    rest = line.partition(place)[2]
    return f"[subj{rest.partition(']')[0]}]" if rest else ""


def _filled(question: str, forms: dict[str, str]) -> str:
    for head, words in forms.items():
        question = question.replace(head, words)
    return question
