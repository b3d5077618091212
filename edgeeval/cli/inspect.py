"""`edgeeval inspect`: what a GGUF file really holds, and how it differs from another."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from edgeeval.cli.options import json_option

if TYPE_CHECKING:
    from edgeeval.artifact.compare import FileComparison
    from edgeeval.artifact.imatrix_file import ImatrixData
    from edgeeval.artifact.inspect import GgufInfo


class Model(NamedTuple):
    """A GGUF file that was looked at."""

    path: Path
    info: "GgufInfo"


class Matrix(NamedTuple):
    """An importance matrix that was looked at."""

    path: Path
    data: "ImatrixData"


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--tensors", is_flag=True, help="List every tensor.")
@json_option
def command(files: tuple[Path, ...], tensors: bool, as_json: bool) -> None:
    """Show what FILES hold; of several, how they differ from the first.

    Architecture, tensor types by share of parameters, bits per weight, what fell back, hashes of
    tokenizer and chat template; of an importance matrix, its statistics. The data of files whose
    tensors have the same names, shapes and types are read and compared.
    """
    from edgeeval.cli import inspect_view

    found = [_look_at(path) for path in files]
    models = [one for one in found if isinstance(one, Model)]
    comparison = _compare(models) if len(models) > 1 else None
    if as_json:
        document = {
            "files": [_record(one, with_tensors=tensors) for one in found],
            "comparison": _comparison_record(models, comparison),
        }
        click.echo(json.dumps(_plain(document), indent=1, allow_nan=False))
        return
    for one in found:
        if isinstance(one, Model):
            inspect_view.print_model(one, with_tensors=tensors)
        else:
            inspect_view.print_matrix(one, with_tensors=tensors)
    if comparison is not None:
        inspect_view.print_comparison(models, comparison)


def _look_at(path: Path) -> Model | Matrix:
    from edgeeval.artifact.header import is_gguf
    from edgeeval.artifact.imatrix_file import read_imatrix
    from edgeeval.artifact.inspect import read_gguf

    if path.suffix != ".gguf" and not is_gguf(path):
        return Matrix(path, read_imatrix(path))  # llama.cpp's older format has no mark of its own
    info = read_gguf(path)
    return Matrix(path, read_imatrix(path)) if info.kind == "imatrix" else Model(path, info)


def _compare(models: list[Model]) -> "FileComparison":
    from edgeeval.artifact.compare import alike, compare_files
    from edgeeval.artifact.inspect import tensor_digests

    infos = [model.info for model in models]
    places = alike(infos)
    if places:
        n_bytes = sum(infos[place].size_bytes for place in places)
        click.echo(f"comparing the data of {len(places)} files, {n_bytes / 1e6:.0f} MB", err=True)
    return compare_files(infos, {place: tensor_digests(models[place].path) for place in places})


# -- JSON ----------------------------------------------------------------------------------------


def _record(one: Model | Matrix, *, with_tensors: bool) -> dict[str, Any]:
    if isinstance(one, Matrix):
        return _matrix_record(one, with_tensors=with_tensors)
    from edgeeval.artifact.inspect import summary

    info = one.info
    tensors = [asdict(tensor) | {"bpw": tensor.bpw} for tensor in info.tensors]
    return {
        "file": str(one.path),
        "kind": info.kind,
        "name": info.name,
        "n_files": info.n_files,
        "n_tensors": len(info.tensors),
        "n_ctx_train": info.n_ctx_train,
        "n_vocab": info.n_vocab,
        "has_chat_template": info.has_chat_template,
        "quantization_version": info.quantization_version,
        **summary(info),
        "metadata": info.metadata,
        **({"tensors": tensors} if with_tensors else {}),
    }


def _matrix_record(one: Matrix, *, with_tensors: bool) -> dict[str, Any]:
    from edgeeval.artifact.imatrix_statistics import imatrix_statistics, layer_statistics

    tensors = imatrix_statistics(one.data)
    return {
        "file": str(one.path),
        "kind": "imatrix",
        "size_bytes": one.path.stat().st_size,
        "is_legacy": one.data.is_legacy,
        "datasets": one.data.datasets,
        "chunk_count": one.data.chunk_count,
        "chunk_size": one.data.chunk_size,
        "n_weights": len(one.data.entries),
        "n_weights_reached": len(tensors),
        "layers": layer_statistics(tensors),
        **({"tensors": tensors} if with_tensors else {}),
    }


def _comparison_record(
    models: list[Model], comparison: "FileComparison | None"
) -> dict[str, Any] | None:
    if comparison is None:
        return None
    names = [str(model.path) for model in models]
    return {
        "first": names[0],
        "others": [
            {"file": name, **asdict(difference)}
            for name, difference in zip(names[1:], comparison.others, strict=True)
        ],
        "same_weights": [[names[place] for place in group] for group in comparison.same_weights],
    }


def _plain(value: Any) -> Any:
    """Return what JSON can hold; a number that is none becomes its name."""
    if is_dataclass(value) and not isinstance(value, type):
        return _plain(asdict(value))
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
