"""A reference's run on another machine gives the numbers of a run here, and a stranger's file
gives one line.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import tarfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeeval.errors import InputError
from edgeeval.pipeline import Request, bundle, evaluate
from edgeeval.pipeline.bundle import open_bundle
from edgeeval.pipeline.request import choose
from edgeeval.prompts import load_suite
from edgeeval.recipe import recipe_of, recipe_of_files
from edgeeval.records import LevelResult, Results
from edgeeval.run.selftest import write_micro_model
from edgeeval.store import Workspace
from tests.conftest import Ladder
from tests.pipeline import bundles
from tests.pipeline.conftest import n_jobs, without_timings


@dataclass(frozen=True)
class Made:
    """A bundle of the real model, and what an ordinary evaluation says."""

    path: Path
    results: Results
    workspace: Workspace


def unpacked(workspace: Workspace) -> list[Path]:
    """Return what of bundles is in a workspace."""
    return list((workspace.root / "bundles").glob("*"))


def refusal(workspace: Workspace, path: Path) -> str:
    """Return the one line that a bundle is refused with; nothing of it stays."""
    with pytest.raises(InputError) as raised:
        open_bundle(workspace, path)
    message = str(raised.value)
    assert message.startswith(f"{path}: ")
    assert len(message.splitlines()) == 1
    assert unpacked(workspace) == []
    return message.removeprefix(f"{path}: ")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "ws")


# -- a bundle of the real model ------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(ladder: Ladder, own_text: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Evaluate Q8_0 as usual, in the workspace where the bundle was made."""
    folder = tmp_path_factory.mktemp("bundle")
    workspace = Workspace(folder / "large machine")
    workspace.folder()
    shutil.copy(ladder.workspace.root / "hashes.jsonl", workspace.root / "hashes.jsonl")
    request = Request(
        recipe_of_files(ladder.bf16.path, [ladder.q8_0.path]),
        only=("lm", "tasks", "align"),
        text=own_text,
        n_ctx=64,
        limit=7,
        seed=3,
    )
    small = load_suite("quick").model_copy(
        update={"max_tokens": 4, "samples": 1, "answer_tokens": 3, "cost_repeats": 1}
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("edgeeval.pipeline.request.load_suite", lambda name: small)
        bundle(request, workspace, folder / "big.bundle")
        return Made(folder / "big.bundle", evaluate(request, workspace), workspace)


def against(made: Made, *levels: str | Path, **options: Any) -> Request:
    """Ask for levels to be compared with the bundle's reference."""
    return Request(recipe_of_files(str(made.path), [str(level) for level in levels]), **options)


def numbers(of: LevelResult) -> dict[str, Any]:
    """Return every metric but cost, whole."""
    return {
        key: asdict(metric) for key, metric in of.metrics.items() if not key.startswith("cost.")
    }


def test_a_bundle_gives_the_very_numbers_of_an_ordinary_evaluation(
    ladder: Ladder, made: Made, tmp_path: Path
) -> None:
    laptop = Workspace(tmp_path / "laptop")
    request = against(made, ladder.q8_0.path, only=("lm", "tasks", "align", "cost"))
    results = evaluate(request, laptop)
    [level], [ordinary] = results.levels, made.results.levels
    assert numbers(level) == numbers(ordinary)
    assert numbers(results.reference) == numbers(made.results.reference)
    assert {"lm.kld_mean", "tasks.flips", "align.chrf", "align.kld"} <= numbers(level).keys()
    assert level.metrics["lm.kld_mean"].lower is not None
    assert results.prompt_sets == made.results.prompt_sets
    assert (results.seed, results.suite) == (3, "quick")

    assert "cost.decode_tps" in level.metrics
    assert "cost.decode_tps" not in results.reference.metrics, "its model is not here"
    [mark] = [mark for mark in results.watermarks if "ran on another machine" in mark]
    assert f"fingerprint {ladder.engine.fingerprint[:12]}" in mark
    assert "Limited to 7 items a set (--limit): a trial, no evidence." in results.watermarks

    jobs = n_jobs(laptop.root)
    assert without_timings(evaluate(request, laptop)) == without_timings(results)
    assert n_jobs(laptop.root) == jobs


def test_a_part_of_what_a_bundle_holds_may_be_asked_for(
    ladder: Ladder, made: Made, tmp_path: Path
) -> None:
    request = against(made, ladder.q2_k.path, only=("tasks",))
    results = evaluate(request, Workspace(tmp_path / "laptop"))
    assert [one.id for one in results.prompt_sets] == ["tasks-own"]
    assert results.levels[0].metrics.keys() == results.reference.metrics.keys()
    assert "lm.kld_mean" in results.recommendation.not_measured


def test_two_bundles_of_one_plan_do_not_share_a_divergence(
    ladder: Ladder, own_text: Path, tmp_path: Path, fresh: Workspace
) -> None:
    """Two references with one tokenizer have the same plan; what a level costs differs."""
    laptop = Workspace(tmp_path / "laptop")
    found = {}
    for name, reference in (("bf16", ladder.bf16), ("q2_k", ladder.q2_k)):
        path = tmp_path / f"{name}.bundle"
        options = {"only": ("lm",), "text": own_text, "n_ctx": 32, "windows": 7}
        recipe = recipe_of_files(reference.path, [ladder.q8_0.path], quantized_reference=True)
        bundle(Request(recipe, **options), fresh, path)
        request = Request(recipe_of_files(str(path), [ladder.q8_0.path]), only=("lm",))
        [level] = evaluate(request, laptop).levels
        found[name] = level.metrics["lm.kld_mean"].value
    assert 0 < found["bf16"] < 0.05
    assert found["q2_k"] > 0.2


def test_items_that_a_scorer_cannot_read_are_one_line(
    ladder: Ladder, made: Made, tmp_path: Path
) -> None:
    """What an item must hold beside its tokens is its scorer's business, and a stranger's word."""

    def drop_the_key(plan: dict[str, Any]) -> None:
        for block in plan["blocks"] if plan["kind"] == "choice" else []:
            for item in block["items"]:
                del item["right"]

    path = bundles.repack(made.path, tmp_path / "x.bundle", drop_the_key)
    request = Request(recipe_of_files(str(path), [ladder.q2_k.path]), only=("tasks",))
    with pytest.raises(InputError, match=rf"^{path}: its items cannot be scored .*'right'.*again$"):
        evaluate(request, Workspace(tmp_path / "laptop"))


def test_the_same_run_gives_the_same_file_and_no_word_of_who_made_it(
    ladder: Ladder, made: Made, tmp_path: Path
) -> None:
    with tarfile.open(made.path) as archive:
        members = archive.getmembers()
        assert members[0].name == "manifest.json"
        assert {(one.uid, one.gid, one.uname, one.gname, one.mtime) for one in members} == {
            (0, 0, "", "", 0)
        }
    folder = made.path.parent
    assert not list(folder.glob(".*")), "a temporary file was left"


def test_a_level_of_another_vocabulary_is_lost_before_anything_is_decoded(
    ladder: Ladder, made: Made, tmp_path: Path
) -> None:
    write_micro_model(tmp_path / "other.gguf")
    laptop = Workspace(tmp_path / "laptop")
    [other] = evaluate(against(made, tmp_path / "other.gguf", only=("lm",)), laptop).levels
    assert other.status == "lost"
    assert other.reason.startswith("its vocabulary is not the reference's")
    assert n_jobs(laptop.root) == 0


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"suite": "standard"}, "--suite"),
        ({"text": Path("mine.txt")}, "--text"),
        ({"prompts": (Path("mine.jsonl"),)}, "--prompts"),
        ({"n_ctx": 128}, "--n-ctx"),
        ({"limit": 3, "seed": 9}, "--limit, --seed"),
    ],
)
def test_options_that_contradict_the_bundle_are_refused(
    made: Made, workspace: Workspace, options: dict[str, Any], named: str
) -> None:
    foreign = open_bundle(workspace, made.path)
    request = against(made, "a.gguf", **options)
    with pytest.raises(InputError, match=f"^{named}: the bundle's reference ran suite quick with"):
        choose(request, foreign)


def test_options_that_the_bundle_has_too_are_not_in_the_way(
    made: Made, workspace: Workspace
) -> None:
    foreign = open_bundle(workspace, made.path)
    chosen = choose(against(made, "a.gguf", suite="quick", seed=3, policy="strict"), foreign)
    assert chosen.suite.max_tokens == 4, "the suite as it was run there"
    assert chosen.policy == "strict"


def test_the_reference_of_a_bundle_may_be_deleted_when_it_has_run(
    ladder: Ladder, own_text: Path, tmp_path: Path, fresh: Workspace
) -> None:
    recipe = recipe_of(ladder.q2_k.path, levels=["Q4_0"], reference_type="BF16")
    request = Request(recipe, only=("lm",), text=own_text, n_ctx=32, windows=1, keep="none")
    bundle(request, fresh, tmp_path / "out" / "x.bundle")
    assert (tmp_path / "out" / "x.bundle").is_file()
    assert not list(fresh.root.glob("artifacts/*.gguf"))


def test_a_bundle_that_does_not_fit_the_disk_is_refused_before_it_is_unpacked(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = bundles.write(tmp_path / "x.bundle")
    usage = shutil.disk_usage(tmp_path)._replace(free=10)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    assert "needs 0 MiB of disk, 0 MiB are free" in refusal(workspace, path)


def test_log_probabilities_beyond_the_cache_make_no_bundle(
    ladder: Ladder, fresh: Workspace, tmp_path: Path
) -> None:
    """By hand: eight texts of one window, 15 scored tokens each; the cache holds four."""
    recipe = recipe_of_files(ladder.bf16.path, [ladder.q8_0.path])
    request = Request(recipe, only=("lm",), n_ctx=32, limit=1, cache_bytes=4 * 15 * 49_152 * 4)
    with pytest.raises(InputError, match=r"a bundle holds all log-probabilities, about 2 times"):
        bundle(request, fresh, tmp_path / "x.bundle")
    assert not (tmp_path / "x.bundle").exists()


# -- a bundle from a stranger --------------------------------------------------------------------


def test_the_bundle_written_by_hand_is_sound(workspace: Workspace, tmp_path: Path) -> None:
    """What every refusal below rests on: unchanged, it opens."""
    foreign = open_bundle(workspace, bundles.write(tmp_path / "x.bundle"))
    assert [plan.content["set_id"] for plan in foreign.plans] == [
        *("mine-text", "mine-choice", "mine-open")
    ]
    assert (foreign.seed, foreign.limit, foreign.second) == (7, None, ())
    assert foreign.reference.path == str(tmp_path / "x.bundle"), "not a path that they chose"
    assert (foreign.logprobs_dir(foreign.plans[0]) / "0.npy").is_file()


def test_it_is_unpacked_once_and_again_when_that_was_interrupted(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = bundles.write(tmp_path / "x.bundle")
    first = open_bundle(workspace, path)
    with monkeypatch.context() as patched:
        patched.setattr(tarfile, "open", lambda *_, **__: pytest.fail("unpacked again"))
        assert open_bundle(workspace, path) == first
    (first.folder / "manifest.json").unlink()  # as a kill before the last step leaves it
    (first.folder / "plans" / "0.json").write_bytes(b"half")
    assert open_bundle(workspace, path) == first


def test_ctrl_c_while_unpacking_leaves_nothing(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = bundles.write(tmp_path / "x.bundle")

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules[open_bundle.__module__], "check_run", interrupt)
    with pytest.raises(KeyboardInterrupt):
        open_bundle(workspace, path)
    assert unpacked(workspace) == []


@pytest.mark.parametrize("content", [b"", b"GGUF" + b"\0" * 2000, b"\x1f\x8b" + b"x" * 600])
def test_another_file_is_no_bundle(workspace: Workspace, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.bundle"
    path.write_bytes(content)
    assert "not a bundle" in refusal(workspace, path)


def test_a_file_that_is_not_there_is_named(workspace: Workspace, tmp_path: Path) -> None:
    assert refusal(workspace, tmp_path / "gone.bundle") == "no such file"


def test_a_bundle_cut_off_anywhere_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    data = bundles.write(tmp_path / "whole.bundle").read_bytes()
    end = len(data.rstrip(b"\0"))
    path = tmp_path / "x.bundle"
    for size in range(0, end, 401):
        path.write_bytes(data[:size])
        assert any(
            word in refusal(workspace, path) for word in ("not a bundle", "missing", "not JSON")
        )


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_flipped_bit_is_refused_or_does_not_matter(
    workspace: Workspace, tmp_path: Path, data: st.DataObject
) -> None:
    whole = bundles.write(tmp_path / "whole.bundle").read_bytes()
    at = data.draw(st.integers(0, len(whole.rstrip(b"\0")) * 8 - 1))
    changed = bytearray(whole)
    changed[at // 8] ^= 1 << at % 8
    path = tmp_path / "x.bundle"
    path.write_bytes(changed)
    with contextlib.suppress(InputError):  # padding and modes mean nothing
        foreign = open_bundle(workspace, path)
        plans = [*foreign.plans, *foreign.answers]
        assert [plan.content for plan in plans] == bundles.some_plans()
        assert (foreign.seed, foreign.reference.sha256) == (7, "1" * 64)
        shutil.rmtree(foreign.folder)
    assert unpacked(workspace) == []


@pytest.mark.parametrize(
    "name",
    [
        *("../x", "/tmp/x", "plans/../../x", "plans/0.json/../x", "runs/0/arrays/../../../x.npy"),
        *("plans\\0.json", "plans/0.json\0", "runs/0/arrays/x.npy", "more.txt", "plans/00000.json"),
    ],
)
def test_a_name_that_does_not_belong_is_refused_even_if_the_manifest_has_it(
    workspace: Workspace, tmp_path: Path, name: str
) -> None:
    files = bundles.some_files() | {name: b"gotcha"}
    found = refusal(workspace, bundles.write(tmp_path / "x.bundle", files))
    assert any(
        word in found for word in ("does not belong into a bundle", "is missing in it", "damaged")
    )
    assert not list(tmp_path.rglob("x")) and not Path("/tmp/x").exists()


@pytest.mark.parametrize(
    "fields",
    [
        {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"},
        {"type": tarfile.LNKTYPE, "linkname": "plans/1.json"},
        {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 5},
        {"type": tarfile.FIFOTYPE},
        {"type": tarfile.DIRTYPE},
        {"type": tarfile.CONTTYPE},
    ],
)
@pytest.mark.parametrize("name", ["manifest.json", "plans/0.json"])
def test_what_is_no_plain_file_is_refused(
    workspace: Workspace, tmp_path: Path, name: str, fields: dict[str, Any]
) -> None:
    files = bundles.some_files()
    text = json.dumps(bundles.a_manifest(files)).encode()
    members = [bundles.member("manifest.json", text), *map(bundles.member, *zip(*files.items()))]
    index = [info.name for info, _ in members].index(name)
    members[index] = bundles.member(name, **fields)
    found = refusal(workspace, bundles.write_tar(tmp_path / "x.bundle", *members))
    assert "not a bundle" in found or "does not belong into a bundle" in found


def test_a_file_with_holes_could_fill_the_disk_and_is_refused(
    workspace: Workspace, tmp_path: Path
) -> None:
    """Oracle: the GNU sparse format, here 1 TiB of nothing in 512 bytes."""
    info = tarfile.TarInfo("plans/0.json")
    info.pax_headers = {
        "GNU.sparse.major": "0",
        "GNU.sparse.minor": "1",
        "GNU.sparse.size": str(1 << 40),
        "GNU.sparse.map": "0,0",
        "GNU.sparse.name": "plans/0.json",
    }
    text = json.dumps(bundles.a_manifest(bundles.some_files())).encode()
    path = bundles.write_tar(
        tmp_path / "x.bundle", bundles.member("manifest.json", text), (info, b"")
    )
    assert "does not belong into a bundle" in refusal(workspace, path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"{", "its manifest.json is not JSON"),
        (b"\xff", "its manifest.json is not JSON"),
        (b"[" * 200_000, "its manifest.json is not JSON"),
        (b'{"a": ' + b"9" * 10_000 + b"}", "its manifest.json is not JSON"),
        (b"[]", "schema None is not 'edgeeval/bundle@1'"),
        (b'{"schema": "edgeeval/results@1"}', "schema 'edgeeval/results@1' is not"),
        (
            json.dumps(bundles.a_manifest({}) | {"seed": 6}).encode(),
            "its manifest.json is damaged; get the bundle again",
        ),
    ],
)
def test_a_manifest_that_is_none_is_refused(
    workspace: Workspace, tmp_path: Path, text: bytes, message: str
) -> None:
    path = bundles.write(tmp_path / "x.bundle", manifest=text)
    assert refusal(workspace, path).startswith(message)


def test_a_huge_manifest_is_not_read(workspace: Workspace, tmp_path: Path) -> None:
    path = bundles.write(tmp_path / "x.bundle", manifest=b" " * ((1 << 26) + 1))
    assert refusal(workspace, path) == "its manifest.json has 64 MiB; refused"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"versions": {"planner": 1, "run": 1}}, "made by an edgeeval that plans or runs otherwis"),
        ({"versions": None}, "made by an edgeeval that plans or runs otherwise"),
        ({"files": ["plans/0.json"]}, "its manifest.json names no files"),
        ({"reference": {}}, "its manifest.json: "),
        ({"reference": bundles.REFERENCE | {"bpw": "much"}}, "its manifest.json: "),
        (
            {"suite": {"name": "quick"}},
            "its manifest.json: Suite.n_ctx: Field required; another edgee",
        ),
        ({"seed": "one"}, "its manifest.json: "),
        ({"seed": float("inf")}, "its manifest.json: "),
        ({"headers": 8}, "its manifest.json: "),
        ({"headers": []}, "its plans are not those of its prompt sets"),
        ({"headers": [bundles.a_header("mine-text", "text")] * 4}, "its plans are not those of"),
        ({"headers": [{"id": "x"}]}, "its manifest.json: "),
    ],
)
def test_a_manifest_that_says_nonsense_is_refused(
    workspace: Workspace, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    text = json.dumps(bundles.a_manifest(bundles.some_files(), **changes)).encode()
    path = bundles.write(tmp_path / "x.bundle", manifest=text)
    assert refusal(workspace, path).startswith(message)


def test_a_file_that_is_missing_extra_or_changed_is_named(
    workspace: Workspace, tmp_path: Path
) -> None:
    files = bundles.some_files()
    manifest = json.dumps(bundles.a_manifest(files)).encode()
    for name in files:
        fewer = {key: data for key, data in files.items() if key != name}
        path = bundles.write(tmp_path / "x.bundle", fewer, manifest=manifest)
        assert refusal(workspace, path) == f"{name} is missing in it; get the bundle again"
        path = bundles.write(
            tmp_path / "x.bundle", files | {name: files[name] + b" "}, manifest=manifest
        )
        assert refusal(workspace, path) == f"{name} is damaged; get the bundle again"
    extra = bundles.member("plans/9.json", b"{}")
    path = bundles.write(tmp_path / "x.bundle", files, extra)
    assert refusal(workspace, path).startswith("'plans/9.json' does not belong into a bundle")


Change = Callable[[dict[str, Any]], Any]


def first_item(plan: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = plan["blocks"][0]["items"][0]
    return found


@pytest.mark.parametrize(
    ("number", "change", "message"),
    [
        (0, lambda plan: plan.update(primitive="eval"), "'eval' is nothing that can be run"),
        (0, lambda plan: plan.clear(), "None is nothing that can be run"),
        (0, lambda plan: plan.update(blocks=[]), "blocks: "),
        (0, lambda plan: plan.pop("context"), "context: Field required"),
        (0, lambda plan: plan["context"].update(n_ctx=1 << 40), "context.n_ctx: "),
        (0, lambda plan: plan["context"].update(kv_type="q1"), "context.kv_type: "),
        (0, lambda plan: plan["context"].update(on_node="x"), "context.on_node: "),
        (0, lambda plan: plan.update(n_vocab=0), "n_vocab: "),
        (0, lambda plan: plan.update(n_vocab=True), "n_vocab: "),
        (0, lambda plan: plan["blocks"][0].update(id="../x"), "blocks.0.id: "),
        (0, lambda plan: plan["blocks"].append(plan["blocks"][0]), "'0' is there twice"),
        (0, lambda plan: first_item(plan).update(id="w4"), "'w4' is there twice"),
        (0, lambda plan: first_item(plan).update(tokens=[1, 2, 5, 0]), "a token is not one of 5"),
        (0, lambda plan: first_item(plan).update(tokens=[1, -2, 3, 0]), "blocks.0.items.0.tokens"),
        (0, lambda plan: first_item(plan).update(tokens=[1, 2, 0]), "block 0: its windows are n"),
        (0, lambda plan: first_item(plan).update(first=2), "block 0: its windows are not of one"),
        (3, lambda plan: first_item(plan).update(first=2), "block 0: nothing is scored of an item"),
        (3, lambda plan: first_item(plan).update(tokens=[1, 2, 9]), "a token is not one of 5"),
        (0, lambda plan: first_item(plan).update(n_bytes=0), "blocks.0.items.0.n_bytes: "),
        (0, lambda plan: plan["context"].update(n_seq_max=1), "block 0: 2 sequences in a context"),
        (1, lambda plan: plan["context"].update(n_seq_max=1), "block 0: 2 sequences in a context"),
        (1, lambda plan: first_item(plan).update(options=[[3], []]), "blocks.0.items.0.options.1"),
        (1, lambda plan: first_item(plan).update(n_bytes=[1]), "q: 2 options, 1 sizes"),
        (1, lambda plan: first_item(plan).pop("groups"), "blocks.0.items.0.groups: Field required"),
        (2, lambda plan: plan["context"].update(n_seq_max=1), "block 0: 2 sequences in a context"),
        (2, lambda plan: plan["generation"].update(temperature=0.0), "generation.temperature: "),
        (2, lambda plan: plan["generation"].update(max_tokens=1 << 30), "generation.max_tokens: "),
        (2, lambda plan: first_item(plan).update(prompt=[]), "blocks.0.items.0.prompt: "),
    ],
)
def test_a_plan_that_could_do_harm_is_refused(
    workspace: Workspace, tmp_path: Path, number: int, change: Change, message: str
) -> None:
    """Native memory is sized by a plan's context and filled by its items."""
    plans = bundles.some_plans()
    change(plans[number])
    path = bundles.write(tmp_path / "x.bundle", bundles.some_files(plans))
    found = refusal(workspace, path)
    assert found.startswith(f"plans/{number}.json: {message}"), found
    assert found.endswith("; refused")


def test_a_plan_that_is_not_json_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    for text in (b"{", b"[" * 100_000, b"\xff\xfe"):
        files = bundles.some_files() | {"plans/1.json": text}
        found = refusal(workspace, bundles.write(tmp_path / "x.bundle", files))
        assert found == "plans/1.json: not there, or not JSON; refused"


def test_two_plans_of_one_content_are_refused(workspace: Workspace, tmp_path: Path) -> None:
    plans, journals = bundles.some_plans(), bundles.some_journals()
    files = bundles.some_files([*plans, plans[2]], [*journals, journals[2]])
    found = refusal(workspace, bundles.write(tmp_path / "x.bundle", files))
    assert found == "its plans are not those of its prompt sets; refused"


@pytest.mark.parametrize(
    ("number", "change", "message"),
    [
        (0, lambda line: line.update(block="1"), "its blocks are not those of its plan"),
        (0, lambda line: line.update(nll="../../secret.npy"), "nll: "),
        (0, lambda line: line.update(nll="cd.npy"), "block 0: cd.npy is not there, or no array"),
        (0, lambda line: line.pop("nll"), "nll: Field required"),
        (0, lambda line: line["items"].reverse(), "block 0: its items are not those of its plan"),
        (1, lambda line: line["items"].clear(), "block 0: its items are not those of its plan"),
        (1, lambda line: line["items"][0].pop("log_likelihoods"), "items.0.log_likelihoods: "),
        (
            1,
            lambda line: line["items"][0].update(log_likelihoods=[-1.0]),
            "block 0: an item lacks results",
        ),
        (
            1,
            lambda line: line["items"][0].update(log_likelihoods=[-1.0, float("nan")]),
            "items.0.log_likelihoods.1: ",
        ),
        (2, lambda line: line["items"][0]["texts"].pop(), "block 0: an item lacks results"),
        (3, lambda line: line.update(nll="cd.npy"), "block 0: cd.npy is not there, or no array"),
        (2, lambda line: line["items"][0]["texts"][0].pop("text"), "items.0.texts.0.text: Field "),
    ],
)
def test_a_run_that_is_not_its_plans_is_refused(
    workspace: Workspace, tmp_path: Path, number: int, change: Change, message: str
) -> None:
    journals = bundles.some_journals()
    change(journals[number][0])
    path = bundles.write(tmp_path / "x.bundle", bundles.some_files(journals=journals))
    assert refusal(workspace, path).startswith(f"runs/{number}: {message}")


def test_a_journal_that_is_not_json_or_has_a_block_twice_is_refused(
    workspace: Workspace, tmp_path: Path
) -> None:
    files = bundles.some_files() | {"runs/1/journal.jsonl": b"{\n"}
    found = refusal(workspace, bundles.write(tmp_path / "x.bundle", files))
    assert found == "runs/1/journal.jsonl: not JSON; refused"
    journals = bundles.some_journals()
    journals[1] *= 2
    path = bundles.write(tmp_path / "x.bundle", bundles.some_files(journals=journals))
    assert refusal(workspace, path).startswith("runs/1: its blocks are not those of its plan")


def pickled() -> bytes:
    """Return an array of objects, which unpickling would run."""
    return bundles.npy(np.array([[open, print]] * 2, object), allow_pickle=True)


@pytest.mark.parametrize("name", ["nll", "logprobs"])
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (pickled(), "is not there, or no array of numbers"),
        (b"", "is not there, or no array of numbers"),
        (b"\x93NUMPY\x01\x00\xff\xff{", "is not there, or no array of numbers"),
        (b"PK\x03\x04", "is not there, or no array of numbers"),
        (bundles.npy(np.ones((2, 2), np.float32))[:-1], "is not there, or no array of numbers"),
        (bundles.npy(np.ones((2, 2), np.float64)), "does not hold "),
        (bundles.npy(np.ones((1, 2), np.float32)), "does not hold "),
        (bundles.npy(np.ones(3, np.float32)), "does not hold "),
        (bundles.npy(np.ones((2, 2, 1), np.float32)), "does not hold "),
    ],
)
def test_an_array_that_is_none_is_refused(
    workspace: Workspace, tmp_path: Path, name: str, data: bytes, message: str
) -> None:
    path = bundles.write(tmp_path / "x.bundle", bundles.some_files(**{name: data}))
    found = refusal(workspace, path)
    assert found.startswith("runs/0: block 0: ")
    assert message in found


def test_an_array_with_a_number_that_is_none_is_refused(
    workspace: Workspace, tmp_path: Path
) -> None:
    table = np.full((4, bundles.N_VOCAB), -1.6, np.float32)
    table[3, 1] = np.nan
    files = bundles.some_files(logprobs=bundles.npy(table))
    found = refusal(workspace, bundles.write(tmp_path / "x.bundle", files))
    assert found == "runs/0: block 0: 0.npy: a number is not finite; refused"
