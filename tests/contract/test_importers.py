"""What every importer keeps, whoever writes the next one."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeeval.errors import InputError, PromptSetError
from edgeeval.prompts import load_set
from edgeeval.prompts.upstream import IMPORTERS, import_set, importer, write_set
from edgeeval.prompts.upstream.catalogue import catalogue
from tests.prompts.upstream.samples import SAMPLES, sample, write


def test_every_data_set_has_an_importer_and_every_importer_a_data_set_and_a_sample() -> None:
    assert {name.partition(":")[0] for name in IMPORTERS} == set(catalogue())
    assert set(SAMPLES) == set(IMPORTERS)


def test_the_catalogue_has_no_address_to_load_from() -> None:
    for entry in catalogue().values():
        assert "://" not in entry.model_dump_json()


@pytest.mark.parametrize("name", IMPORTERS)
class TestAnImporter:
    def test_says_what_the_format_is(self, name: str) -> None:
        module = importlib.import_module(IMPORTERS[name].partition(":")[0])
        assert module.__doc__
        assert importer(name).__doc__

    def test_makes_a_file_that_is_read_back_as_it_was(self, name: str, tmp_path: Path) -> None:
        made = import_set(name, sample(name, tmp_path / "in"))
        write_set(tmp_path / "out.jsonl", made)
        read = load_set(tmp_path / "out.jsonl")
        assert read.items == tuple(made.items)
        assert read.header == made.header
        assert read.header.suites == {"quick": 0, "standard": -1, "full": -1}
        entry = catalogue()[name.partition(":")[0]]
        assert read.header.licence == entry.licence
        assert read.header.authors == entry.authors
        assert entry.citation in read.header.source

    def test_gives_the_same_items_twice(self, name: str, tmp_path: Path) -> None:
        path = sample(name, tmp_path)
        one, other = import_set(name, path), import_set(name, path)
        assert tuple(one.items) == tuple(other.items)

    def test_refuses_what_is_not_there_in_one_line(self, name: str, tmp_path: Path) -> None:
        with pytest.raises(PromptSetError) as raised:
            import_set(name, tmp_path / "gone")
        assert len(str(raised.value).splitlines()) == 1

    def test_refuses_empty_files_in_one_line(self, name: str, tmp_path: Path) -> None:
        write(tmp_path, dict.fromkeys(SAMPLES[name], ""))
        path = tmp_path / next(iter(SAMPLES[name])) if len(SAMPLES[name]) == 1 else tmp_path
        with pytest.raises(PromptSetError) as raised:
            import_set(name, path)
        assert len(str(raised.value).splitlines()) == 1

    @settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    def test_fails_in_one_line_or_counts_whatever_a_file_holds(
        self, name: str, tmp_path: Path, data: st.DataObject
    ) -> None:
        """The sample with a stretch of one file replaced by any bytes."""
        files = {key: text.encode() for key, text in SAMPLES[name].items()}
        which = data.draw(st.sampled_from(sorted(files)))
        start = data.draw(st.integers(0, len(files[which])))
        end = data.draw(st.integers(start, min(len(files[which]), start + 40)))
        replacement = data.draw(st.binary(max_size=12) | st.sampled_from(_NASTY))
        files[which] = files[which][:start] + replacement + files[which][end:]
        write(tmp_path, files)
        path = tmp_path / which if len(files) == 1 else tmp_path
        try:
            made = import_set(name, path)
        except InputError as error:
            assert len(str(error).splitlines()) <= 1
        else:
            assert len(made.items) == made.n_found > 0
            for item in made.items:
                item.model_dump_json().encode()
            for problem in made.problems:
                assert problem.where
                assert problem.reason


_NASTY = [
    b'"',
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\r",
    b"{",
    b"[" * 2000,
    b"null",
    b"\\ud800",
    b"1e999",
]
