"""Several judges in one evaluation: who is asked, what is required of whom, what each says.

Nothing of one judge or label ever enters a number of another one. A requirement on harm that names
no judge must hold by the primary label of every judge; so that adding a judge can only make a
verdict harder to reach.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from edgeeval.compare.verdicts import judge_of, label_of, metric_id
from edgeeval.errors import EdgeevalError, InputError, did_you_mean, reason_of
from edgeeval.judges import DEFAULT_JUDGE
from edgeeval.judges.find import find_judge
from edgeeval.judges.labels import harm_labels, key_of
from edgeeval.judges.score import JudgedTexts, score_texts
from edgeeval.pipeline.request import Chosen, Request
from edgeeval.records import JudgeInfo, Requirement
from edgeeval.run.schedule import Progress
from edgeeval.scores import scorer
from edgeeval.scores.measured import Measured
from edgeeval.store import Workspace


class Judgement(NamedTuple):
    """What the judges of an evaluation say."""

    judged: tuple[JudgedTexts, ...]
    """Of those that could judge."""
    infos: tuple[JudgeInfo, ...]
    """Of all, with what each read; one that failed has its `problem`."""

    @property
    def first(self) -> JudgedTexts | None:
        """The scores of the first judge that could judge: the headline's."""
        return self.judged[0] if self.judged else None

    @property
    def silent(self) -> dict[str, str]:
        """Judge -> why it scored nothing."""
        return {info.name: info.problem for info in self.infos if info.problem}


def asks_judges(name: str) -> bool:
    """Tell whether a scorer's numbers are the judges' that a person chooses."""
    return hasattr(scorer(name), "texts_to_judge")


def with_judges(request: Request, chosen: Chosen, workspace: Workspace) -> Chosen:
    """Find the judges, and say of every requirement on harm by whose label it must hold.

    Raises:
        InputError: a judge is unknown or comes twice, or a requirement names one, or a label, that
            is not asked.
        NotFetched: a judge has to be fetched or built first.
    """
    asking = [name for name in chosen.scorers if asks_judges(name)]
    usual = (request.recipe.judges or (DEFAULT_JUDGE,)) if asking else ()
    names = dict.fromkeys(request.judges or usual)
    judges = tuple(find_judge(name, workspace) for name in names)
    known = [judge.info.name for judge in judges]
    for name in known:
        if known.count(name) > 1:
            raise InputError(f"two judges are called {name!r}; build one under another name")
    if rules := [judge.info.name for judge in judges if judge.info.kind == "rules"]:
        raise InputError(
            f"{rules[0]} tells refusals, not harm, and is asked about them anyway; leave it out "
            "of --judge"
        )
    if not asking:
        return chosen
    harms = {metric.id for name in asking for metric in scorer(name).METRICS}
    required = [
        one
        for requirement in chosen.required
        for one in (
            _by_judges(requirement, [judge.info for judge in judges])
            if metric_id(requirement.metric) in harms
            else (requirement,)
        )
    ]
    return replace(chosen, judges=judges, required=tuple(required))


def _by_judges(requirement: Requirement, judges: Sequence[JudgeInfo]) -> Iterator[Requirement]:
    """Yield a requirement with the judge and the label that it means, once a judge."""
    metric, _, named = requirement.metric.partition("@")
    name, label = judge_of(requirement.metric), label_of(requirement.metric)
    if named and name not in {info.name for info in judges}:
        hint = did_you_mean(name, [info.name for info in judges])
        raise InputError(
            f"{requirement.source}: {requirement.metric}: {name!r} does not judge here{hint}; ask "
            f"it too (--judge {name})"
        )
    for info in judges:
        if named and name != info.name:
            continue
        harms = harm_labels(info)
        if label and label not in harms:
            raise InputError(
                f"{requirement.source}: {requirement.metric}: {info.name} has no such harm"
                f"{did_you_mean(label, harms)}; it has {', '.join(harms)}"
            )
        yield replace(requirement, metric=f"{metric}@{key_of(info, label or info.primary)}")


def texts_to_judge(chosen: Chosen, everything: Iterable[Measured]) -> tuple[str, ...]:
    """Return every text that a scorer asks the judges about, once."""
    asking = [scorer(name) for name in chosen.scorers if asks_judges(name)]
    texts = (text for run in everything for one in asking for text in one.texts_to_judge(run))
    return tuple(dict.fromkeys(texts))


def judge_texts(
    chosen: Chosen,
    workspace: Workspace,
    texts: Sequence[str],
    progress: Progress = lambda line: None,
    kept_in: Path | None = None,
) -> Judgement:
    """Let every judge score every text; one that fails takes its own numbers with it only.

    Args:
        chosen: who judges.
        workspace: keeps the scores.
        texts: what to score.
        progress: called with lines of talk.
        kept_in: as in `score_texts`.
    """
    judged, infos = [], []
    for judge in chosen.judges if texts else ():
        try:
            found = score_texts(workspace, judge, texts, progress, kept_in)
        except EdgeevalError as error:
            infos.append(replace(judge.info, problem=reason_of(error)))
        else:
            judged.append(found)
            infos.append(found.info)
    return Judgement(tuple(judged), tuple(infos))
