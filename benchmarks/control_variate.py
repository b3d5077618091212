"""Measure what coupled sampling and a control variate are worth for differences of harm.

Reference and levels continue the same prompts with the same random numbers. From the scores of one
such evaluation: how much smaller the variance of a difference is than with dice of their own, and
how much smaller still if the reference ran three times as many prompts as the levels; then the
half-width of the interval with 1/3 of the prompts paired and the rest the reference's alone, over
random draws, beside that of the paired difference alone.

    python benchmarks/control_variate.py --prompts open.jsonl --reference BF16.gguf Q2_K.gguf
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

import edgeeval
from edgeeval.pipeline.bundle import foreign_of
from edgeeval.pipeline.conclude import Material, read_material
from edgeeval.pipeline.evidence import read_evidence
from edgeeval.pipeline.judging import with_judges
from edgeeval.pipeline.measure import measurer_for
from edgeeval.pipeline.request import choose
from edgeeval.run.device import find_engine
from edgeeval.scores import harm
from edgeeval.scores.table import ScoreTable
from edgeeval.stats import bounded_mean, control_variate

N_DRAWS = 60
N_TIMES = 3
"""Prompts of the reference for one of a level."""
Floats = npt.NDArray[np.float64]


def material_of(request: edgeeval.Request, workspace: edgeeval.Workspace) -> Material:
    """Evaluate, or go on with what is there, and read back what was measured."""
    results = edgeeval.evaluate(request, workspace, print)
    with workspace.locked():
        chosen = with_judges(request, choose(request, foreign_of(request, workspace)), workspace)
        engine = find_engine(workspace, device=request.device, n_threads=request.n_threads)
        measurer = measurer_for(request, chosen, workspace, engine, print)
        evidence = read_evidence(workspace, results.evidence)
        finished = evidence.finished(measurer.plans(evidence.reference), ())
        return read_material(chosen, measurer, finished)


def tables_of(material: Material, level: int | None, set_id: str) -> dict[str, ScoreTable]:
    """Return the score tables of a level, or of the reference, on one prompt set."""
    of = material.reference if level is None else material.levels[level]
    (judged,) = material.judgement.judged
    found = harm.score(of, material.reference, judged)
    return {table.key: table for table in found if table.set_id == set_id and table.metric.paired}


def rows(name: str, level: dict[str, ScoreTable], base: dict[str, ScoreTable]) -> Iterator[str]:
    """Yield a row of the table for every metric of a level."""
    for key, table in level.items():
        own = {score.item: score for score in table.scores if score.value is not None}
        pairs = [
            (own[score.item].value, score.value, score.cluster)
            for score in base[key].scores
            if score.item in own and score.value is not None
        ]
        q, b = (np.array([pair[side] for pair in pairs], np.float64) for side in (0, 1))
        yield f"| {name} | {key} | " + " | ".join(numbers(q, b, [pair[2] for pair in pairs])) + " |"


def numbers(q: Floats, b: Floats, clusters: Sequence[str]) -> Iterator[str]:
    """Yield correlation, both ratios of variances and both mean half-widths."""
    (var_q, cov), (_, var_b) = np.cov(q, b)
    beta = cov / var_b
    coupled = var_q + var_b - 2 * cov
    weight = beta + (1 - beta) / N_TIMES  # of the reference's paired prompts
    rest = (1 - beta) ** 2 * (N_TIMES - 1) / N_TIMES**2  # of those that it ran alone
    varied = var_q + var_b * weight**2 - 2 * cov * weight + rest * var_b
    yield f"{cov / np.sqrt(var_q * var_b):.2f}"
    yield f"{(var_q + var_b) / coupled:.2f}"
    yield f"{coupled / varied:.2f}"
    generator = np.random.default_rng(0)
    n, widths = len(q) // N_TIMES, []
    for _ in range(N_DRAWS):
        order = generator.permutation(len(q))
        both, alone = order[:n], order[n:]
        own, others = ([clusters[index] for index in part] for part in (both, alone))
        for one in (
            bounded_mean(q[both] - b[both], 1.0, 0.05, own),
            control_variate(q[both], b[both], b[alone], 1.0, 0.05, own, others),
        ):
            widths.append(((one.upper or 0) - (one.lower or 0)) / 2)
    yield f"{np.mean(widths[::2]):.4f}"
    yield f"{np.mean(widths[1::2]):.4f}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reference", required=True)
    parser.add_argument("--prompts", type=Path, required=True, help="A set of kind open.")
    parser.add_argument("--workspace", type=Path, default=Path(".edgeeval"))
    parser.add_argument("levels", nargs="+")
    options = parser.parse_args()
    request = edgeeval.Request(
        edgeeval.recipe_of_files(options.reference, options.levels),
        only=("harm",),
        prompts=(options.prompts,),
    )
    material = material_of(request, edgeeval.Workspace(options.workspace))
    set_id = material.reference.sets[-1].set_id
    base = tables_of(material, None, set_id)
    print("| level | metric | correlation | coupled | control variate | half-width | with it |")
    print("|---|---|---|---|---|---|---|")
    for index, level in enumerate(material.levels):
        for row in rows(level.artifact.name, tables_of(material, index, set_id), base):
            print(row)


if __name__ == "__main__":
    main()
