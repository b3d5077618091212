"""Fetching a judge by name from a Hub on this machine, then everything with the network cut."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeeval.errors import InputError, NotFetched
from edgeeval.judges.build import build_judge, find_source
from edgeeval.judges.catalogue import catalogue
from edgeeval.judges.checkpoint import Wishes
from edgeeval.judges.fetch import fetch_judge, find_files, known_judge
from edgeeval.judges.find import find_judge
from tests.artifact.conftest import Person
from tests.artifact.conftest import person as person  # a fixture, for this folder too
from tests.artifact.hub_server import Repo
from tests.judges.conftest import Builder, Made

NAME = "detoxify-original"


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_judge_is_fetched_once_and_then_built_without_the_network(
    person: Person, checkpoints: dict[str, Made], builder: Builder
) -> None:
    made, hub = checkpoints["bert"], person.hub
    extra = {"pytorch_model.bin": b"a second copy", "README.md": b"hello", "model.onnx": b"x"}
    hub.repos[known_judge(NAME).hf] = Repo(files_of(made.folder) | extra)
    with pytest.raises(NotFetched, match=f"edgeeval fetch --judge {NAME}"):
        find_files(person.workspace, NAME)
    folder = fetch_judge(person.workspace, known_judge(NAME), person.said.append)
    assert {path.name for path in folder.iterdir()} == set(files_of(made.folder))
    hub.repos.clear()
    n_requests = len(hub.seen)
    with pytest.raises(NotFetched, match=f"judge build {NAME}"):
        find_judge(NAME, person.workspace)
    judge = build_judge(
        person.workspace,
        find_source(person.workspace, NAME, Wishes()),
        file_type="F16",
        target=None,
        progress=person.said.append,
        converter=builder.converter,
    )
    assert judge.info.labels == made.labels
    assert judge.info.name == NAME
    assert "Wikipedia" in judge.info.description
    assert find_judge(NAME, person.workspace) == judge
    assert len(hub.seen) == n_requests


def test_where_there_is_no_safetensors_the_pickle_is_fetched(
    person: Person, checkpoints: dict[str, Made]
) -> None:
    made = checkpoints["roberta"]
    person.hub.repos[known_judge(NAME).hf] = Repo(files_of(made.folder))
    folder = fetch_judge(person.workspace, known_judge(NAME), person.said.append)
    assert (folder / "pytorch_model.bin").exists()


@pytest.mark.parametrize("lacking", ["config.json", "pytorch_model.bin"])
def test_a_repository_without_the_needed_files_is_refused(
    lacking: str, person: Person, checkpoints: dict[str, Made]
) -> None:
    files = files_of(checkpoints["roberta"].folder)
    del files[lacking]
    person.hub.repos[known_judge(NAME).hf] = Repo(files)
    with pytest.raises(InputError, match=f"no {lacking}"):
        fetch_judge(person.workspace, known_judge(NAME), person.said.append)


def test_every_named_classifier_is_a_repository_with_a_description() -> None:
    assert {"detoxify-original", "detoxify-unbiased", "detoxify-multilingual"} <= set(catalogue())
    for entry in catalogue().values():
        assert entry.hf.count("/") == 1
        assert entry.description


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(InputError, match="did you mean 'detoxify-unbiased'"):
        known_judge("detoxify-unbiasd")
