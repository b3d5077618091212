"""The figures: the same bytes twice, no foreign markup, and something sensible at the edges."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from edgeeval.records import LevelResult, Results
from edgeeval.report import charts

pytest.importorskip("matplotlib", reason="figures come with the extra `report`")


def _texts(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter("text")]


def _with_kld(level: LevelResult, value: float) -> LevelResult:
    metric = level.metrics["lm.kld_mean"]
    planted = replace(metric, value=value, lower=value, upper=value)
    return replace(level, metrics={**level.metrics, "lm.kld_mean": planted})


def test_the_same_results_give_the_same_bytes(results: Results) -> None:
    assert charts.size_and_divergence(results) == charts.size_and_divergence(results)
    assert charts.requirement_panels(results) == charts.requirement_panels(results)


def test_a_figure_is_an_element_without_prolog_date_or_address(results: Results) -> None:
    panels = charts.requirement_panels(results)
    for svg in (charts.size_and_divergence(results), *(panel.svg for panel in panels)):
        assert svg is not None
        assert svg.startswith("<svg viewBox=")
        assert not any(mark in svg for mark in ("<metadata", "http", "<!", "<?xml", "xlink"))
        ElementTree.fromstring(svg)


def test_points_are_named_and_the_limit_is_shown(results: Results) -> None:
    svg = charts.size_and_divergence(results)
    assert svg is not None
    assert {"Q8_0", "Q4_K_M", "Q2_K", "limit 0.07", "file size, MB"} <= set(_texts(svg))


def test_there_is_a_panel_a_requirement_with_every_level(results: Results) -> None:
    panels = charts.requirement_panels(results)
    assert [(panel.title, panel.limit) for panel in panels] == [
        ("mean KL divergence", "≤ 0.07 nats/token"),
        ("perplexity against the reference's", "ln ≤ +0.05"),
        ("accuracy", "Δ ≥ −5 points"),
        ("changed answers", "≤ 10 %"),
    ]
    texts = _texts(panels[0].svg)
    assert "0.612" in texts  # far outside: an arrow with its number
    assert "not measured" in texts  # the lost level


def test_hostile_and_mathematical_names_are_plain_text(results: Results) -> None:
    level = replace(results.levels[0], name="</text><script>$\\frac{$ 模型\n\x1b")
    svg = charts.size_and_divergence(replace(results, levels=(level, *results.levels[1:])))
    assert svg is not None
    assert "<script" not in svg
    assert any(text.endswith("$\\frac{$ 模型") for text in _texts(svg))


def test_colours_follow_the_page(results: Results) -> None:
    svg = charts.size_and_divergence(results)
    assert svg is not None
    assert "fill: var(--pass, #1a7f4b)" in svg


def test_a_level_equal_to_the_reference_has_a_place_on_a_logarithmic_axis(results: Results) -> None:
    levels = (_with_kld(results.levels[0], 0.0), *results.levels[1:])
    svg = charts.size_and_divergence(replace(results, levels=levels))
    assert svg is not None
    assert "Q8_0" in _texts(svg)


def test_an_axis_is_labelled_in_plain_numbers_over_any_span(results: Results) -> None:
    svg = charts.size_and_divergence(replace(results, levels=results.levels[3:4]))
    assert svg is not None
    assert "0.05" in _texts(svg)
    assert not any("$" in text for text in _texts(svg))


def test_nothing_to_draw_is_no_figure(unmeasured_results: Results) -> None:
    assert charts.size_and_divergence(unmeasured_results) is None
    assert charts.requirement_panels(unmeasured_results) == []


def test_without_matplotlib_there_is_no_figure(
    results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert charts.size_and_divergence(results) is None
    assert charts.requirement_panels(results) == []
