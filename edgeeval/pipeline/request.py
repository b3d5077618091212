"""What a person asks for, and what follows from it before anything runs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from edgeeval.compare.verdicts import metric_id
from edgeeval.errors import InputError, did_you_mean
from edgeeval.judges import Judge
from edgeeval.prompts import PromptSet, Suite, load_set, load_suite, suite_sets, text_file_set
from edgeeval.prompts.load import WHOLE_FILE
from edgeeval.recipe import Limit, Recipe, load_policy, policy_names, requirements
from edgeeval.records import Requirement
from edgeeval.run.foreign import Foreign
from edgeeval.run.schedule import ChosenSet
from edgeeval.scores import SCORERS, is_selected, scorer, selected_scorers
from edgeeval.scores.table import Metric
from edgeeval.store import Workspace, digest

Keep = Literal["none", "levels", "all"]

DEFAULT_CACHE_BYTES = 4 << 30
DEFAULT_SEED = 1
_N_DIGITS = 8
"""Of the hash that tells one recipe's results apart."""


@dataclass(frozen=True)
class Request:
    """What a person asks for: a recipe and the options."""

    recipe: Recipe
    """Of `load_recipe`, `recipe_of` or `recipe_of_files`."""
    suite: str | None = None
    policy: str | None = None
    levels: tuple[str, ...] = ()
    """Only these of the recipe's levels."""
    only: tuple[str, ...] = ()
    """Metric-id prefixes."""
    text: Path | None = None
    """Own text for lm.*, instead of the suite's."""
    n_ctx: int | None = None
    windows: int | None = None
    prompts: tuple[Path, ...] = ()
    """Own prompt sets, beside the suite's."""
    limit: int | None = None
    seed: int = DEFAULT_SEED
    n_threads: int | None = None
    device: str = "auto"
    judges: tuple[str, ...] = ()
    """Names or files of the judges of harm; the recipe's without any."""
    cache_bytes: int = DEFAULT_CACHE_BYTES
    keep: Keep = "all"
    """Which files that edgeeval made stay on the disk: all; the levels, not the reference; none."""
    max_level_files: int | None = None
    """Level files that edgeeval made on the disk at one time, at most; needs `keep` "none"."""
    converter: Path | None = None
    """A llama.cpp checkout whose converter to use, instead of the engine's own."""
    converter_python: Path | None = None
    """The interpreter that runs it."""
    fresh: bool = False
    """Measure again what the workspace has."""

    @property
    def name(self) -> str:
        """The evaluation's name: the recipe's."""
        return self.recipe.name


@dataclass(frozen=True)
class Chosen:
    """What a request comes to, before anything runs."""

    suite: Suite
    scorers: tuple[str, ...]
    sets: tuple[ChosenSet, ...]
    policy: str
    required: tuple[Requirement, ...]
    unavailable: tuple[str, ...]
    """Metrics that the policy names and this evaluation does not measure."""
    foreign: Foreign | None = None
    """The part of a bundle that is used."""
    judges: tuple[Judge, ...] = ()


def choose(request: Request, foreign: Foreign | None = None) -> Chosen:
    """Settle suite, scorers, prompt sets and requirements.

    Args:
        request: what is asked.
        foreign: the reference's run, where it came in a bundle: its suite and sets are what it ran.

    Raises:
        InputError: something that was asked for does not exist or does not fit.
    """
    if request.max_level_files is not None and request.keep != "none":
        raise InputError(
            "--max-level-files: the files that were built stay on the disk; give --keep none too"
        )
    scorers = tuple(selected_scorers(request.only))
    if foreign is not None:
        _require_same_suite(request, foreign)
        foreign = foreign.of_kinds(_kinds(scorers))
    suite = foreign.suite if foreign else chosen_suite(request)
    policy = request.policy or request.recipe.policy
    required, unavailable = chosen_requirements(request, suite, policy)
    sets = _foreign_sets(foreign) if foreign else chosen_sets(request, suite, scorers)
    if policy in policy_names():
        unavailable += _without_sets(policy, required, unavailable, sets)
    return Chosen(suite, scorers, sets, policy, tuple(required), tuple(unavailable), foreign)


def _kinds(scorers: Sequence[str]) -> set[str]:
    """Return the kinds of prompt sets that scorers read."""
    return {kind for name in scorers for kind in scorer(name).KINDS}


def _without_sets(
    policy: str,
    required: Sequence[Requirement],
    unavailable: Sequence[str],
    sets: Sequence[ChosenSet],
) -> list[str]:
    """Return the policy's metrics that a small suite neither requires nor has a set for."""
    kinds = {one.prompt_set.header.kind for one in sets}
    settled = {*unavailable, *(metric_id(one.metric) for one in required)}
    return [
        metric.id
        for name in SCORERS
        for metric in scorer(name).METRICS
        if metric.id in load_policy(policy)
        and metric.id not in settled
        and scorer(name).KINDS
        and not kinds & set(scorer(name).KINDS)
    ]


def _require_same_suite(request: Request, foreign: Foreign) -> None:
    """Refuse options that would ask the levels something else than the reference was asked."""
    given = {
        "--suite": request.suite is not None and request.suite != foreign.suite.name,
        "--text": request.text is not None,
        "--prompts": bool(request.prompts),
        "--n-ctx": request.n_ctx is not None,
        "--limit": request.limit is not None,
        "--seed": request.seed not in (DEFAULT_SEED, foreign.seed),
    }
    if named := [option for option, is_given in given.items() if is_given]:
        raise InputError(
            f"{', '.join(named)}: the bundle's reference ran suite {foreign.suite.name} with seed "
            f"{foreign.seed}, and the levels are asked the same; leave the option out"
        )


def _foreign_sets(foreign: Foreign) -> tuple[ChosenSet, ...]:
    """Return the sets of a bundle, known by their headers: their items are in its plans."""
    return tuple(
        ChosenSet(PromptSet(header, ()), plan.path, len(plan.block_ids))
        for header, plan in zip(foreign.headers, foreign.plans, strict=True)
    )


def results_dir(request: Request, workspace: Workspace) -> Path:
    """Return the folder where an evaluation's reports are kept."""
    asked = [
        request.recipe.model_dump(mode="json", include={"model", "reference", "levels", "imatrix"}),
        [request.suite, request.levels, request.only, str(request.text), request.n_ctx],
        [request.windows, [str(path) for path in request.prompts], request.limit, request.seed],
        [request.device, request.n_threads],
    ]
    return workspace.folder("results", f"{request.name}-{digest(asked)[:_N_DIGITS]}")


def earlier_results(name: str, workspace: Workspace) -> list[Path]:
    """Return the results.json of every evaluation of a recipe in a workspace, the newest first."""
    folders = f"{name}-{'?' * _N_DIGITS}"  # not `*`: one recipe's name may begin another's
    paths = (workspace.root / "results").glob(f"{folders}/results.json")
    return sorted(paths, key=lambda path: path.stat().st_mtime, reverse=True)


def chosen_suite(request: Request) -> Suite:
    """Return the suite that was asked for, or the recipe's, with --n-ctx put into it."""
    suite = load_suite(request.suite or request.recipe.suite)
    return suite.model_copy(update={"n_ctx": request.n_ctx}) if request.n_ctx else suite


_AGAINST_BETTER = {"higher": "max", "min": "max", "lower": "min", "max": "min"}
"""Direction of a metric -> the limit that would let the worst level pass."""


def _known_metrics() -> dict[str, Metric]:
    """Return every metric by its id."""
    return {metric.id: metric for name in SCORERS for metric in scorer(name).METRICS}


def chosen_requirements(
    request: Request, suite: Suite, policy: str
) -> tuple[list[Requirement], list[str]]:
    """Return what is required, and the policy's metrics that this evaluation cannot measure.

    A suite may leave out metrics of a shipped policy, and widen their margins, where it is too
    small to decide; a person's own policy stands as it is written.
    """
    limits = load_policy(policy)
    known = _known_metrics()
    if policy not in policy_names():
        return _own_requirements(limits, known, f"policy {policy}"), []
    unavailable = [metric for metric in limits if metric not in known]
    own = request.recipe.require
    records: list[Requirement] = []
    for metric, limit in limits.items():
        allowed = suite.require == "all" or metric in suite.require
        if metric in unavailable or metric in own or not allowed:
            continue
        if not is_selected(metric, request.only):
            unavailable.append(metric)
            continue
        allowed_limit, source = limit, f"policy {policy}"
        if metric in suite.margins:
            allowed_limit = load_policy(suite.margins[metric])[metric]
            source = f"suite {suite.name}, policy {suite.margins[metric]}"
        records += requirements({metric: allowed_limit}, source)
    return records + _own_requirements(own, known, "recipe"), unavailable


def _own_requirements(
    own: dict[str, Limit], known: dict[str, Metric], source: str
) -> list[Requirement]:
    records = requirements(own, source)
    for requirement in records:
        name = metric_id(requirement.metric)
        if name not in known:
            raise InputError(
                f"{source}: {requirement.metric!r} is no metric{did_you_mean(name, known)}"
            )
        if requirement.kind == _AGAINST_BETTER.get(known[name].direction):
            better, instead = ("lower", "max") if requirement.kind == "min" else ("higher", "min")
            raise InputError(
                f"{source}: {requirement.metric}: {better} is better, so {requirement.kind} would "
                f"let the worst level pass; give {instead}"
                + (" or margin" if known[name].paired else "")
            )
        if requirement.kind == "margin" and not known[name].paired:
            raise InputError(
                f"{source}: {requirement.metric} has no difference from the reference; "
                "give max or min instead of margin"
            )
    return records


def chosen_sets(request: Request, suite: Suite, scorers: Sequence[str]) -> tuple[ChosenSet, ...]:
    """Return the prompt sets that the wanted scorers read."""
    kinds = _kinds(scorers)
    chosen: list[ChosenSet] = []
    if request.text is not None:
        text = text_file_set(request.text, request.windows)
        size = request.windows or WHOLE_FILE
        chosen.append(ChosenSet(text, request.text, size, plain_text=True))
    for prompt_set, path, size in suite_sets(suite):
        if request.text is None or prompt_set.header.kind != "text":
            chosen.append(ChosenSet(prompt_set, path, size))
    for path in request.prompts:
        prompt_set = load_set(path)
        if prompt_set.header.kind not in kinds:
            raise InputError(
                f"{path}: nothing that is measured here reads a set of kind "
                f"{prompt_set.header.kind!r}; leave it out, or --only"
            )
        # Who names a set wants it: a suite that takes none of it takes all.
        size = prompt_set.header.suites.get(suite.name) or WHOLE_FILE
        chosen.append(ChosenSet(prompt_set, path, size))
    wanted = [one for one in chosen if one.prompt_set.header.kind in kinds]
    if not wanted and all(scorer(name).KINDS for name in scorers):
        raise InputError(
            f"suite {suite.name} has no items for {', '.join(request.only) or 'this'}; give "
            "another --suite, or --prompts"
        )
    ids = [one.prompt_set.id for one in wanted]
    for set_id in ids:
        if ids.count(set_id) > 1:
            raise InputError(f"two prompt sets have the id {set_id!r}; change one header's id")
    if request.limit is None:
        return tuple(wanted)
    return tuple(
        replace(one, size=request.limit if one.size == WHOLE_FILE else min(one.size, request.limit))
        for one in wanted
    )
