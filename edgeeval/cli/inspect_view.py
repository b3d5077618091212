"""What `edgeeval inspect` prints for people.

Names and texts come from files that strangers made: each is shown as one short harmless line.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import click

from edgeeval.cli.columns import columns
from edgeeval.errors import one_line

if TYPE_CHECKING:
    from edgeeval.artifact.compare import (
        Difference,
        FieldDifference,
        FileComparison,
        TensorDifference,
    )
    from edgeeval.artifact.imatrix_statistics import LayerStatistics, TensorStatistics
    from edgeeval.artifact.inspect import GgufInfo
    from edgeeval.cli.inspect import Matrix, Model

_HASH_DIGITS = 12
_MAX_TEXT = 160
_MAX_LINES = 12
"""Of one sort of difference."""
_MAX_KEYS = 6
_MAX_RANGES = 8
_TOP = 10
"""Weights and layers of an importance matrix."""

_Row = tuple[str, str]


def _text(foreign: object) -> str:
    text = str(foreign)
    return one_line(text[:_MAX_TEXT] + ("…" if len(text) > _MAX_TEXT else ""))


def _print_rows(title: str, rows: Iterable[_Row]) -> None:
    click.echo(title)
    for name, value in rows:
        click.echo(f"  {name:<14} {value}")


# -- a model -------------------------------------------------------------------------------------


def print_model(model: "Model", *, with_tensors: bool) -> None:
    """Print what a GGUF file holds."""
    _print_rows(_text(model.path), _model_rows(model.info))
    if with_tensors and model.info.tensors:
        click.echo(_tensor_table(model.info))


def _model_rows(info: "GgufInfo") -> list[_Row]:
    fallback = info.shares(fallback_only=True)
    rows = [
        ("kind", "" if info.kind == "model" else _text(info.kind)),
        ("architecture", f"{_text(info.architecture)} ({_text(info.name) or 'no name'})"),
        ("label", info.label),
        ("size", _size_text(info)),
        ("parameters", _parameters_text(info)),
        ("context", f"{info.n_ctx_train or 'unknown'} tokens, vocabulary {info.n_vocab or 'none'}"),
        ("tokenizer", _tokenizer_text(info)),
        ("chat template", info.chat_template_sha256[:_HASH_DIGITS] or "none"),
        ("imatrix", _text(info.imatrix)),
        ("tensor types", _shares(info.shares())),
    ]
    if fallback:
        rows.append(
            (
                "fell back",
                f"{sum(fallback.values()):.1%} of the parameters, to "
                f"{_shares(fallback)}: the file is not what its label says",
            )
        )
    return [row for row in rows if row[1]]


def _parameters_text(info: "GgufInfo") -> str:
    if not info.tensors:
        return "none: the file holds no tensors"
    return f"{info.n_params / 1e6:.1f} M in {len(info.tensors)} tensors"


def _size_text(info: "GgufInfo") -> str:
    parts = [f"{info.size_bytes / 1e6:.1f} MB"]
    if info.n_files > 1:
        parts[0] += f" in {info.n_files} files"
    if info.bpw is not None:
        parts.append(f"{info.bpw:.2f} bits per weight")
    if info.quantization_version is not None:
        parts.append(f"quantization version {info.quantization_version}")
    return ", ".join(parts)


def _tokenizer_text(info: "GgufInfo") -> str:
    if not info.tokenizer_sha256:
        return "none"
    kept = info.tokenizer_sha256[:_HASH_DIGITS], info.vocabulary_sha256[:_HASH_DIGITS]
    return "{} (vocabulary {})".format(*kept)


def _shares(of: dict[str, float]) -> str:
    return ", ".join(f"{kind} {share:.1%}" for kind, share in of.items())


def _tensor_table(info: "GgufInfo") -> str:
    rows = [["  tensor", "type", "shape", "bytes", "bpw", ""]]
    rows += [
        [
            f"  {_text(tensor.name)}",
            tensor.type,
            "x".join(map(str, tensor.shape)),
            f"{tensor.size_bytes:,}",
            f"{tensor.bpw:.2f}",
            "fell back" if tensor.fell_back else "",
        ]
        for tensor in info.tensors
    ]
    return columns(rows, numbers=(3, 4))


# -- an importance matrix ------------------------------------------------------------------------


def print_matrix(matrix: "Matrix", *, with_tensors: bool) -> None:
    """Print what an importance matrix shows: the weights and layers that matter most first."""
    from edgeeval.artifact.imatrix_statistics import imatrix_statistics, layer_statistics

    data = matrix.data
    tensors = sorted(imatrix_statistics(data), key=lambda one: -one.sum)
    layers = sorted(layer_statistics(tensors), key=lambda one: -one.sum)
    chunks = f"{data.chunk_count} chunks" + (
        f" of {data.chunk_size} tokens" if data.chunk_size else ""
    )
    n_unreached = len(data.entries) - len(tensors)
    weights = f"{len(data.entries)} in {len(layers)} layers"
    rows = [
        ("imatrix", "in llama.cpp's older format" if data.is_legacy else "GGUF"),
        ("calibration", f"{_text(', '.join(data.datasets)) or 'unnamed text'}, {chunks}"),
        ("weights", weights + (f"; no token reached {n_unreached}" if n_unreached else "")),
    ]
    _print_rows(_text(matrix.path), rows)
    n_shown = max(len(tensors), len(layers)) if with_tensors else _TOP
    if tensors:
        _print_top(_statistics_table(tensors[:n_shown]), len(tensors), n_shown)
    if layers:
        _print_top(_layer_table(layers[:n_shown]), len(layers), n_shown)


def _print_top(table: str, n_there: int, n_shown: int) -> None:
    click.echo(table)
    if n_there > n_shown:
        click.echo(f"  … {n_there - n_shown} more, of less weight: --tensors shows all")


def _statistics_table(tensors: Sequence["TensorStatistics"]) -> str:
    head = "  tensor,layer,Σ(act²),min,max,mean,σ,active,columns,entropy,of most,ZD,cosine"
    rows = [head.split(",")]
    rows += [
        [
            f"  {_text(one.tensor)}",
            _optional(one.layer, "d"),
            f"{one.sum:.6g}",
            f"{one.min:.4g}",
            f"{one.max:.6g}",
            f"{one.mean:.4g}",
            f"{one.stddev:.4g}",
            f"{one.active_share:.1%}",
            str(one.n_elements),
            f"{one.entropy_bits:.2f}",
            _optional(one.entropy_share, ".1%"),
            f"{one.outlier_share:.1%}",
            _optional(one.cosine_similarity, ".3f"),
        ]
        for one in tensors
    ]
    return columns(rows, numbers=range(1, 13))


def _layer_table(layers: Sequence["LayerStatistics"]) -> str:
    rows = [["  layer", "Σ(act²)", "ZD", "cosine"]]
    rows += [
        [
            f"  {one.layer}",
            f"{one.sum:.6g}",
            f"{one.outlier_share:.1%}",
            _optional(one.cosine_similarity, ".3f"),
        ]
        for one in layers
    ]
    return columns(rows, numbers=range(1, 4))


def _optional(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


# -- how files differ ----------------------------------------------------------------------------


def print_comparison(models: Sequence["Model"], comparison: "FileComparison") -> None:
    """Print how each file differs from the first, and which compute the same."""
    names = [_text(model.path) for model in models]
    for model, name, difference in zip(models[1:], names[1:], comparison.others, strict=True):
        click.echo("")
        rows = _difference_rows(models[0].info, model.info, difference)
        _print_rows(f"{name}, compared with {names[0]}", rows)
    for group in comparison.same_weights if len(models) > 2 else ():
        click.echo(f"\nThe same weights: {', '.join(names[place] for place in group)}")


def _difference_rows(first: "GgufInfo", other: "GgufInfo", found: "Difference") -> list[_Row]:
    grown = found.size_bytes / first.size_bytes
    size = f"{found.size_bytes / 1e6:+.1f} MB ({grown:+.1%})"
    if found.bpw is not None:
        size += f", {found.bpw:+.2f} bits per weight"
    rows = [("size", size), *_architecture_rows(first, other, found)]
    rows += [
        ("tokenizer", _tokenizer_difference(found)),
        ("chat template", "the same" if found.same_chat_template else "another"),
    ]
    if found.metadata:
        keys = [_text(one.key) for one in found.metadata]
        rows.append(("metadata", f"other keys that differ: {_first_of(keys)}"))
    rows += _under("tensors", _tensor_lines(found) or ["the same names, shapes and types"])
    return [*rows, ("weights", _weights_text(other, found))]


def _architecture_rows(first: "GgufInfo", other: "GgufInfo", found: "Difference") -> list[_Row]:
    if not found.same_architecture:
        both = f"{_text(other.architecture)} instead of {_text(first.architecture)}"
        return [("architecture", both)]
    if not found.hyperparameters:
        return [("architecture", "the same, with the same hyperparameters")]
    start = len(first.architecture) + 1
    lines = [_field_line(one, one.key[start:]) for one in found.hyperparameters]
    return [("architecture", "the same"), *_under("hyperparameter", lines)]


def _field_line(field: "FieldDifference", name: str) -> str:
    return f"{_text(name)}: {_value_text(field.other)} instead of {_value_text(field.first)}"


def _value_text(value: Any) -> str:
    from edgeeval.artifact.header import ArrayField

    if value is None:
        return "none"
    if isinstance(value, ArrayField):
        return f"a list of {value.length} ({value.sha256[:_HASH_DIGITS]})"
    return f"{value:.6g}" if isinstance(value, float) else _text(value)


def _tokenizer_difference(found: "Difference") -> str:
    if found.same_tokenizer:
        return "the same"
    kept = "the same vocabulary" if found.same_vocabulary else "another vocabulary"
    return f"another, with {kept}: {', '.join(found.tokenizer)}"


def _tensor_lines(found: "Difference") -> list[str]:
    def where(one: "TensorDifference") -> str:
        if len(one.layers) < 2:
            return f" in layer {one.layers[0]}" if one.layers else ""
        return f" in {len(one.layers)} layers ({_ranges(one.layers)})"

    lines = []
    for one in found.missing:
        here = f"only here ({one.other})" if one.first is None else f"not here ({one.first})"
        lines.append(f"{_text(one.tensor)}: {here}{where(one)}")
    for one in (*found.shapes, *found.types):
        lines.append(f"{_text(one.tensor)}: {one.other} instead of {one.first}{where(one)}")
    return lines


def _weights_text(other: "GgufInfo", found: "Difference") -> str:
    if found.same_weights:
        return "the same to the last bit: the two compute the same"
    if found.n_data_differ is None:
        return "not the same: see tensors"
    if found.n_data_differ == 0:
        return "the same data, but other hyperparameters"
    return f"not the same: {found.n_data_differ} of {len(other.tensors)} tensors hold other data"


def _under(name: str, lines: Sequence[str]) -> list[_Row]:
    """Put lines under one name; too many are cut off."""
    kept = list(lines[:_MAX_LINES])
    if len(lines) > _MAX_LINES:
        kept.append(f"… {len(lines) - _MAX_LINES} more: --json has all")
    return [(name if place == 0 else "", line) for place, line in enumerate(kept)]


def _first_of(words: Sequence[str]) -> str:
    rest = len(words) - _MAX_KEYS
    return ", ".join(words[:_MAX_KEYS]) + (f" and {rest} more" if rest > 0 else "")


def _ranges(numbers: Sequence[int]) -> str:
    """Return numbers in order as "0-3, 7"."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    shown = [f"{low}" if low == high else f"{low}-{high}" for low, high in ranges]
    return ", ".join(shown[:_MAX_RANGES]) + (", …" if len(shown) > _MAX_RANGES else "")
