"""The page: it needs nothing from anywhere, and no text of a stranger becomes markup."""

from __future__ import annotations

import importlib.util
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from edgeeval.records import Results
from edgeeval.report.html import write

_VOID = {"meta", "br"}


class _Page(HTMLParser):
    """What a browser would find."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "title"} & set(self.open):
            self.text += data


@pytest.fixture
def page(results: Results) -> _Page:
    return _Page(write(results))


def test_hostile_text_is_only_text(results: Results, page: _Page) -> None:
    assert page.open == []
    assert not {"script", "img", "b", "a", "iframe", "link", "object"} & set(page.tags)
    assert '<script>alert("x")</script>|Q4`_`K [31m' in page.text
    assert not any(name.startswith("on") for _, name, _ in page.attributes)
    assert not any(mark in write(results) for mark in ("\x1b", "\u202e", "\x07"))


def test_it_loads_nothing(results: Results, page: _Page) -> None:
    text = write(results)
    assert not re.search(r"https?:|@import|url\((?!#)", text)
    links = [value for _, name, value in page.attributes if name in ("src", "href", "xlink:href")]
    assert all(value.startswith("#") for value in links)
    assert (
        "meta",
        "content",
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:",
    ) in page.attributes


def test_ids_are_unique_and_references_resolve(page: _Page) -> None:
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    used = [value for _, name, value in page.attributes if name == "href"]
    used += re.findall(r"url\((#[^)]*)\)", " ".join(value for *_, value in page.attributes))
    assert {f"#{one}" for one in ids} >= set(used)


def test_every_table_heading_says_what_it_heads(page: _Page) -> None:
    scopes = [value for tag, name, value in page.attributes if (tag, name) == ("th", "scope")]
    assert len(scopes) == page.tags["th"]
    assert page.tags["caption"] == page.tags["table"]


def test_the_answer_stands_first_and_a_verdict_is_a_word(results: Results, page: _Page) -> None:
    assert page.text.index("Q4_K_M") < page.text.index("All levels")
    assert "105.5 MB · 39 % of BF16's 269.1 MB" in " ".join(page.text.split())
    for word in ("pass", "fail", "inconclusive", "lost", "reference"):
        assert re.search(rf'class="chip {word}".*?</span> {word}</span>', write(results))


def test_without_a_recommendation_it_says_so(unmeasured_results: Results) -> None:
    page = _Page(write(unmeasured_results))
    assert "Not decided" in page.text  # not measured is not failed
    assert "No level was measured." in page.text


def test_without_matplotlib_it_says_how_to_get_pictures(
    results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    text = write(results)
    assert "<svg" not in text
    assert "pip install edgeeval[report]" in text


def test_a_hostile_watermark_and_name_are_escaped_too(results: Results) -> None:
    odd = replace(results, name='"><script>', watermarks=("</p><script>x</script>",))
    page = _Page(write(odd))
    assert "script" not in page.tags
