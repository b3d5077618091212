"""Say what every reader of an evaluation must know before its numbers."""

from collections.abc import Iterator, Sequence

from edgeeval.artifact.inspect import broken_promise, quantized_types
from edgeeval.pipeline.measure import Finished
from edgeeval.pipeline.request import Chosen, Request
from edgeeval.prompts.overlap import N_WORDS, overlap, shingles
from edgeeval.records import TRIAL, Artifact


def watermarks(request: Request, chosen: Chosen, finished: Finished) -> tuple[str, ...]:
    """Return the sentences that stand above every report."""
    return (
        *_of_the_reference(finished.reference),
        *_of_the_bundle(chosen),
        *_of_the_request(request, chosen),
        *_of_the_levels(request, finished),
        *_of_the_imatrix(request, chosen, finished),
        *_of_the_plans(finished),
    )


def _of_the_reference(reference: Artifact) -> Iterator[str]:
    if reference.source.startswith("dequantized"):
        yield (
            f"The reference is itself {reference.source}: differences are from that file, "
            "not from the original weights."
        )
    elif kinds := quantized_types(reference.type_shares):
        yield f"The reference is quantized ({', '.join(kinds)}): differences are from that file."


def _of_the_bundle(chosen: Chosen) -> Iterator[str]:
    if (foreign := chosen.foreign) is not None:
        yield (
            f"The reference ran on another machine ({foreign.engine}; fingerprint "
            f"{foreign.fingerprint[:12]}): its engine may round otherwise, so that even equal "
            "weights differ a little. Its speed is not measured here."
        )


def _of_the_request(request: Request, chosen: Chosen) -> Iterator[str]:
    limit = chosen.foreign.limit if chosen.foreign else request.limit
    if limit is not None:
        yield f"{TRIAL} {limit} items a set (--limit): a trial, no evidence."
    for one in chosen.sets:
        header = one.prompt_set.header
        if one.path in request.prompts and header.suites.get(chosen.suite.name) == 0:
            yield (
                f"{header.id}: suite {chosen.suite.name} takes none of it by its header; it was "
                "given by --prompts, so all of it was taken."
            )
    if request.only:
        yield f"Only {', '.join(request.only)} was measured (--only)."


def _of_the_levels(request: Request, finished: Finished) -> Iterator[str]:
    reference, levels = finished.reference, list(finished.levels.values())
    for level in levels:
        if level.weights_sha256 == reference.weights_sha256:
            yield f"{level.name} computes what the reference computes: the same weights."
        if broken := broken_promise(level.name, level):
            yield f"{level.name}: {broken}."
    templates = [
        level.name
        for level in levels
        if level.chat_template_sha256 not in ("", reference.chat_template_sha256)
    ]
    if templates:
        yield (
            f"Another chat template than the reference's: {', '.join(templates)}. Every level was "
            "asked with the reference's."
        )
    yield from _fallbacks(levels)
    for asked in request.recipe.levels:
        if asked.note and asked.label in finished.levels:
            yield f"{asked.label}: {asked.note}."


def _of_the_imatrix(request: Request, chosen: Chosen, finished: Finished) -> Iterator[str]:
    """Say where levels may be flattered: they were tuned on the text that they are tested on."""
    wanted = request.recipe.imatrix
    if wanted is not None and wanted.text is not None:
        calibration = shingles(wanted.text.read_text(encoding="utf-8", errors="replace"))
        shares = {one.prompt_set.id: overlap(one.prompt_set, calibration) for one in chosen.sets}
        found = [f"{name} ({share:.0%})" for name, share in shares.items() if share > 0]
        if found:
            yield (
                f"The calibration text {wanted.text.name} holds text of these sets, runs of "
                f"{N_WORDS} words counted: {', '.join(found)}. Levels with the imatrix look better "
                "there than elsewhere."
            )
    given = {
        level.imatrix
        for level in finished.levels.values()
        if level.imatrix and level.provenance.how != "quantized"
    }
    if given or (wanted is not None and wanted.file is not None):
        names = ", ".join(sorted(given)) or (wanted.file.name if wanted and wanted.file else "")
        yield (
            f"Quantized with an imatrix whose calibration text is not here ({names}): whether it "
            "holds text that the levels are tested on is unknown."
        )


def _fallbacks(levels: Sequence[Artifact]) -> Iterator[str]:
    fallen = [level for level in levels if level.fallback_share > 0]
    if fallen:
        shares = "; ".join(
            f"{level.name}: {level.fallback_share:.0%} fell back to "
            f"{', '.join(level.fallback_types)}"
            for level in fallen
        )
        yield (
            "Not what their names say, because the model's rows cannot be cut into blocks of 256 "
            f"(shares of the parameters): {shares}."
        )


def _of_the_plans(finished: Finished) -> Iterator[str]:
    problems = {plan.content["template_problem"] for plan in finished.plans} - {""}
    for problem in sorted(problems):
        yield f"Chat prompts were given as plain text: {problem}."
    excluded = [one for plan in finished.compared for one in plan.content["excluded"]]
    if excluded:
        first = excluded[0]
        yield (
            f"{len(excluded)} items were left out; the first: {first['item']}: {first['reason']}."
        )
