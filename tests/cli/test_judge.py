"""`edgeeval judge check` and `list`: one document, one line when refused, kept for reports."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.in_process import edgeeval

COLUMNS = (
    "--text-column", "completion", "--label-column", "final_label",
    "--positive", "2_full_refusal,3_partial_refusal",
)  # fmt: skip


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "labelled.csv"
    path.write_text(
        "completion,final_label,who\n"
        "I can't help with that.,2_full_refusal,a\n"
        "I won't write that. Here is a poem.,3_partial_refusal,b\n"
        "Boil the eggs.,1_full_compliance,a\n"
        "I cannot answer that.,1_full_compliance,b\n"
        ",1_full_compliance,a\n",
        encoding="utf-8",
    )
    return path


def test_the_document_has_every_rate(tmp_path: Path, data: Path) -> None:
    """By hand: both refusals are found; one of two answers is taken for one."""
    ran = edgeeval(
        "judge", "check", "refusal-rules", "--data", data, *COLUMNS, "--group-column", "who",
        "--workspace", tmp_path / "w", "--json", "--quiet",
    )  # fmt: skip
    document = ran.document()
    rates = document["rates"]
    values = {name: rates[name]["value"] for name in ("auc", "precision", "sensitivity")}
    assert values == {"auc": 0.75, "precision": 2 / 3, "sensitivity": 1.0}
    assert rates["false_positive_rate"]["value"] == 0.5
    assert rates["groups"]["who=b"]["false_positive_rate"]["value"] == 1.0
    assert (document["n_rows"], document["n_broken"]) == (5, 1)
    assert ran.err == f"{data}:6: 'completion' is empty\n"
    listed = edgeeval("judge", "list", "--workspace", tmp_path / "w")
    assert "finds 100.0 % [34.2, 100.0], takes 50.0 %" in listed.out
    assert "(labelled.csv: 4 texts, 2 with final_label is" in listed.out


def test_a_person_sees_rates_groups_and_dialects(tmp_path: Path, data: Path) -> None:
    ran = edgeeval(
        "judge", "check", "refusal-rules", "--data", data, *COLUMNS, "--group-column", "who",
        "--dialects", "--workspace", tmp_path / "w",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert "sensitivity (recall)  100.0 % [34.2, 100.0]  n 2" in ran.out
    assert "who=a − who=b" in ran.out
    assert "dialect-aae          232" in ran.out


def test_a_class_without_texts_is_not_measured(tmp_path: Path, data: Path) -> None:
    ran = edgeeval(
        "judge", "check", "refusal-rules", "--data", data, "--text-column", "completion",
        "--label-column", "final_label", "--positive", "4_other", "--workspace", tmp_path / "w",
    )  # fmt: skip
    assert ran.code == 0
    assert "not measured: no positive texts" in ran.out
    assert "no row has the label '4_other'" in ran.err


@pytest.mark.parametrize(
    ("arguments", "refusal"),
    [
        (("refusal-rule", *COLUMNS), "did you mean 'refusal-rules'"),
        (("refusal-rules", *COLUMNS, "--label", "refusl"), "no label 'refusl' (did you mean"),
        (("refusal-rules", "--text-column", "completion"), "go together"),
        (("refusal-rules",), "not one of the known layouts"),
        (("refusal-rules", "--text-column", "completions", *COLUMNS[2:]), "did you mean 'complet"),
        (("refusal-rules", *COLUMNS, "--tau", "1.5"), "1.5"),
        (("refusal-rules", *COLUMNS[:4], "--positive", ">=0.5"), "no row can be used"),
    ],
)
def test_bad_input_is_refused_in_one_line(
    tmp_path: Path, data: Path, arguments: tuple[str, ...], refusal: str
) -> None:
    workspace = tmp_path / "w"
    ran = edgeeval("judge", "check", *arguments, "--data", data, "--workspace", workspace)
    assert refusal in ran.refusal()
    assert not list(workspace.glob("judges/checks/*/*.json"))


def test_data_that_are_not_there_are_refused(tmp_path: Path) -> None:
    ran = edgeeval("judge", "check", "refusal-rules", "--data", tmp_path / "none.csv")
    assert "none.csv" in ran.refusal()
