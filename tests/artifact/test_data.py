"""Fetching a published data set by name from a Hub on this machine, up to its import."""

from __future__ import annotations

import io
import json
import re
import shlex
import tarfile
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from edgeeval.artifact.data import known_data
from edgeeval.artifact.hub import fetch_repo
from edgeeval.errors import InputError
from edgeeval.prompts import load_set
from edgeeval.prompts.upstream import IMPORTERS, import_set
from edgeeval.prompts.upstream.catalogue import OnGitHub, OnHub, catalogue
from tests.artifact.conftest import TOKEN, Person, publish_on_github, sha256
from tests.artifact.hub_server import Repo
from tests.cli.in_process import Ran, edgeeval
from tests.prompts.upstream.samples import SAMPLES, sample

NAME = "realtoxicityprompts"
FETCHABLE = [name for name in IMPORTERS if catalogue()[name.partition(":")[0]].fetch]


def publish(person: Person, name: str = NAME, **how: object) -> Repo:
    """Put a data set's sample on the Hub, with a stranger's files beside it."""
    source = known_data(name).source
    files = {path: text.encode() for path, text in SAMPLES[name].items()}
    extra = {"README.md": b"hello", "load.py": b"raise SystemExit"}
    repo = Repo(files | extra, commit=source.revision, **how)  # type: ignore[arg-type]
    person.hub.repos[f"datasets/{source.name}"] = repo
    return repo


def publish_archive(person: Person, monkeypatch: pytest.MonkeyPatch, name: str) -> Repo:
    """Put MMLU's sample on the Hub as a tar, with what nobody asked for; let the catalogue pin it.

    The authors' archive has folders of its own, and macOS's files beside each.
    """
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        files = {
            f"./data/{path.split('_')[-1][:-4]}/{path}": t for path, t in SAMPLES[name].items()
        }
        others = ["data/test/._x_test.csv", "data/val/x_val.csv", "data/../../x_test.csv", "/x.csv"]
        for path, text in (files | dict.fromkeys(others, "no,csv\n")).items():
            member = tarfile.TarInfo(path)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
        link = tarfile.TarInfo("data/test/link_test.csv")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        archive.addfile(link)
    entry = catalogue()[name]
    assert isinstance(entry.fetch, OnHub)
    assert entry.fetch.archive
    pin = entry.fetch.archive.model_copy(update={"sha256": sha256(packed.getvalue())})
    source = entry.fetch.model_copy(update={"archive": pin})
    monkeypatch.setitem(catalogue(), name, entry.model_copy(update={"fetch": source}))
    repo = Repo({source.files[0]: packed.getvalue(), "x.csv": b"1"}, commit=source.revision)
    person.hub.repos[f"datasets/{source.name}"] = repo
    return repo


def fetch(person: Person, *names: str) -> Ran:
    options = [word for name in names for word in ("--data", name)]
    return edgeeval("fetch", *options, "--workspace", person.workspace.root)


@pytest.mark.parametrize("name", FETCHABLE)
def test_a_fetched_set_is_imported_by_the_line_that_fetch_prints(
    name: str, person: Person, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = known_data(name).source
    if isinstance(source, OnGitHub):
        publish_on_github(person, monkeypatch, name)
    elif source.archive:
        publish_archive(person, monkeypatch, name)
    else:
        publish(person, name)
    done = fetch(person, name)
    assert done.code == 0, done.err
    terms, *_, line = done.err.splitlines()
    assert catalogue()[name.partition(":")[0]].licence in terms  # before anything comes
    program, *arguments = shlex.split(line)
    monkeypatch.chdir(tmp_path)
    assert program == "edgeeval"
    assert Path(arguments[3]) == Path(done.out.strip())
    assert edgeeval(*arguments).code == 0
    read = load_set(tmp_path / f"{name.replace(':', '-')}.jsonl")
    assert read.items == tuple(import_set(name, sample(name, tmp_path / "by-hand")).items)


def test_the_second_call_needs_no_network(person: Person) -> None:
    publish(person)
    first = fetch(person, NAME)
    person.hub.repos.clear()
    person.hub.seen.clear()
    again = fetch(person, NAME)
    assert (again.code, again.out) == (0, first.out)
    assert person.hub.seen == []


def test_another_program_finds_what_came(person: Person) -> None:
    """Oracle: huggingface_hub itself, which is told not to use the network."""
    from huggingface_hub import hf_hub_download, scan_cache_dir

    publish(person)
    folder = Path(fetch(person, NAME).out.strip())
    source = known_data(NAME).source
    path = hf_hub_download(
        source.name,
        "prompts.jsonl",
        repo_type="dataset",
        revision=source.revision,
        cache_dir=person.cache,
        local_files_only=True,
    )
    assert Path(path) == folder / "prompts.jsonl"
    (scanned,) = scan_cache_dir(person.cache).repos
    assert (scanned.repo_type, scanned.repo_id) == ("dataset", source.name)


def test_the_hub_is_asked_where_huggingface_hub_asks(person: Person) -> None:
    """Oracle: huggingface_hub's own addresses."""
    from huggingface_hub import hf_hub_url

    publish(person)
    fetch(person, NAME)
    source, endpoint = known_data(NAME).source, person.hub.hub.address
    url = hf_hub_url(
        source.name,
        "prompts.jsonl",
        repo_type="dataset",
        revision=source.revision,
        endpoint=endpoint,
    )
    listing, file = (f"{endpoint}{seen.path}" for seen in person.hub.requests("hub"))
    assert listing.startswith(f"{endpoint}/api/datasets/{source.name}/revision/")
    assert file == url


def test_a_model_of_the_same_name_is_another_repository(person: Person) -> None:
    publish(person)
    fetch(person, NAME)
    source = known_data(NAME).source
    person.hub.repos[source.name] = Repo({"prompts.jsonl": b"{}"}, commit=source.revision)
    model = fetch_repo(
        person.workspace,
        source.name,
        revision=source.revision,
        patterns=source.files,
        progress=person.said.append,
    )
    assert model.files[0].path.read_bytes() == b"{}"
    assert "models--" in str(model.folder)


def test_a_file_with_another_hash_is_refused(person: Person) -> None:
    publish(person, stated={"prompts.jsonl": b"what the Hub was given"})
    done = fetch(person, NAME)
    assert (done.code, done.out) == (1, "")
    assert "the sha256 of what came is not the one that the Hub states" in done.err
    assert not list(person.cache.rglob("prompts.jsonl"))


def test_a_gated_set_names_the_token_and_comes_with_it(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(person, gated=True)
    person.hub.token = TOKEN
    refused = fetch(person, NAME)
    assert refused.code == 2
    assert "accept the licence on its page, then set HF_TOKEN" in refused.err
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert fetch(person, NAME).code == 0


@pytest.mark.parametrize("name", sorted(set(IMPORTERS) - set(FETCHABLE)))
def test_of_any_other_set_one_line_says_what_to_do_by_hand(name: str, person: Person) -> None:
    publish(person)
    line = fetch(person, NAME, name).refusal()
    assert person.hub.seen == []  # refused before anything is fetched
    entry = catalogue()[name.partition(":")[0]]
    for file in entry.files:
        assert file in line
    assert re.search(rf"edgeeval prompts import {name} (FILE|FOLDER) -o [\w-]+\.jsonl$", line)
    if entry.repository != "unknown":
        assert entry.repository in line
        assert ("archive that hub:" in line) == entry.repository.startswith("hub:")
        assert entry.licence in line
        assert entry.revision == "unknown" or entry.revision in line
        assert "://" not in line


def test_what_the_hub_has_as_parquet_is_said_to_be() -> None:
    with pytest.raises(InputError, match="the Hub has it as Parquet, which is not read"):
        known_data("arc")


@pytest.mark.parametrize(
    ("name", "near"), [("realtoxicityprompt", NAME), ("truthfulqa", "truthfulqa:mc2")]
)
def test_an_unknown_name_is_refused_with_the_nearest(name: str, near: str) -> None:
    with pytest.raises(InputError, match=f"did you mean '{near}'"):
        known_data(name)


def test_another_archive_than_the_pinned_is_refused(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Hub's own hash of it is right: the catalogue's is another."""
    publish_archive(person, monkeypatch, "mmlu").files["data.tar"] = b"another"
    done = fetch(person, "mmlu")
    assert (done.code, done.out) == (1, "")
    assert "cais/mmlu: data.tar: is another archive than its authors'" in done.err
    assert not list(person.workspace.root.rglob("*.csv"))


def test_what_is_unpacked_stays_in_its_folder(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_archive(person, monkeypatch, "mmlu")
    folder = Path(fetch(person, "mmlu").out.strip())
    names = sorted(path.name for path in person.workspace.root.rglob("*.csv"))
    assert names == sorted(SAMPLES["mmlu"])
    assert sorted(path.name for path in folder.iterdir()) == ["dev", "test"]


def test_what_the_hub_is_asked_for_is_what_the_importer_reads() -> None:
    sources = {name: known_data(name).source for name in FETCHABLE}
    on_hub = {name: source for name, source in sources.items() if isinstance(source, OnHub)}
    assert set(on_hub) == {NAME, "mmlu"}
    for name, source in on_hub.items():
        patterns = source.archive.members if source.archive else source.files
        for file in SAMPLES[name]:
            assert any(fnmatchcase(file, pattern.rpartition("/")[2]) for pattern in patterns)


def test_the_catalogue_shows_where_a_set_is_fetched_from() -> None:
    shown = json.loads(edgeeval("prompts", "catalogue", NAME).out)
    assert shown["fetch"]["repository"] == f"hub:{known_data(NAME).source.name}"
