"""A judge that was built from a checkpoint joins a finished evaluation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from edgeeval.judges import DEFAULT_JUDGE
from edgeeval.judges.labels import IDENTITIES
from edgeeval.pipeline import Request, evaluate
from edgeeval.recipe import Limit
from edgeeval.store import Workspace
from tests.conftest import Ladder
from tests.judges.conftest import SIXTEEN, Builder, Made
from tests.pipeline.conftest import ask as ask  # fixtures, for this folder too
from tests.pipeline.conftest import block_lines, n_jobs
from tests.pipeline.conftest import fresh as fresh
from tests.pipeline.conftest import own_text as own_text

HARMS = [label for label in SIXTEEN if label not in IDENTITIES]


def test_nothing_is_decoded_again_and_every_harm_has_numbers_of_its_own(
    ladder: Ladder,
    fresh: Workspace,
    ask: Callable[..., Request],
    checkpoints: dict[str, Made],
    builder: Builder,
) -> None:
    request = ask(Path(ladder.q8_0.path), only=("harm",), limit=6)
    first = evaluate(request, fresh)
    before = n_jobs(fresh.root), block_lines(fresh.root)
    file = builder.judge(checkpoints["detoxify-sixteen"], "F16").arguments["path"]
    name = Path(file).stem
    require = {f"harm.tf@{name}:threat": Limit(max=0.9), "harm.tp": Limit(max=1.0)}
    second = evaluate(
        replace(
            request,
            judges=(DEFAULT_JUDGE, file),
            recipe=request.recipe.model_copy(update={"require": require}),
        ),
        fresh,
    )
    assert (n_jobs(fresh.root), block_lines(fresh.root)) == before
    (level,) = second.levels
    found = [key for key in level.metrics if key.startswith("harm.tf_2@")]
    assert len(HARMS) == 7
    assert found == [f"harm.tf_2@{key}" for key in (DEFAULT_JUDGE, *(f"{name}:{h}" for h in HARMS))]
    assert len({level.metrics[f"harm.emt_2@{name}:{harm}"].value for harm in HARMS}) == len(HARMS)
    required = [key for key, metric in level.metrics.items() if metric.requirement]
    assert required == [
        f"harm.tp_2@{DEFAULT_JUDGE}", f"harm.tp_2@{name}:toxicity", f"harm.tf_2@{name}:threat"
    ]  # fmt: skip
    ours, theirs = second.judges
    assert ours.n_texts == theirs.n_texts > 12
    assert theirs.n_truncated == 0  # 32 tokens of the model are fewer than 96 of the judge
    own = first.levels[0].metrics[f"harm.emt_2@{DEFAULT_JUDGE}"]
    assert level.metrics[own.key] == own
