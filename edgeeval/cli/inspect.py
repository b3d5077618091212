"""`edgeeval inspect`: what a GGUF file really holds."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeeval.cli.options import json_option

if TYPE_CHECKING:
    from edgeeval.artifact.inspect import GgufInfo


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@json_option
def command(files: tuple[Path, ...], as_json: bool) -> None:
    """Show architecture, tensor types by share of parameters, bits per weight, fallbacks."""
    import json

    from edgeeval.artifact.inspect import read_gguf

    infos = [(path, read_gguf(path)) for path in files]
    if as_json:
        click.echo(json.dumps([_record(path, info) for path, info in infos], indent=1))
        return
    for path, info in infos:
        _print(_record(path, info))


def _record(path: Path, info: "GgufInfo") -> dict[str, Any]:
    from edgeeval.artifact.inspect import summary

    return {
        "file": str(path),
        "name": info.name,
        "n_tensors": len(info.tensors),
        "n_ctx_train": info.n_ctx_train,
        "n_vocab": info.n_vocab,
        "has_chat_template": info.has_chat_template,
        **summary(path, info),
    }


def _print(record: dict[str, Any]) -> None:
    from edgeeval.errors import one_line

    def shares(of: dict[str, float]) -> str:
        return ", ".join(f"{kind} {share:.1%}" for kind, share in of.items())

    rows = [
        ("architecture", one_line(f"{record['architecture']} ({record['name'] or 'no name'})")),
        ("label", record["label"]),
        ("size", f"{record['size_bytes'] / 1e6:.1f} MB, {record['bpw']:.2f} bits per weight"),
        ("parameters", f"{record['n_params'] / 1e6:.1f} M in {record['n_tensors']} tensors"),
        ("context", f"{record['n_ctx_train']} tokens, vocabulary {record['n_vocab']}"),
        ("chat template", "yes" if record["has_chat_template"] else "no"),
        ("tensor types", shares(record["type_shares"])),
    ]
    if record["fallback_share"]:
        rows.append(
            (
                "fell back",
                f"{record['fallback_share']:.1%} of the parameters, to "
                f"{shares(record['fallback_types'])}: the file is not what its label says",
            )
        )
    click.echo(record["file"])
    for name, value in rows:
        click.echo(f"  {name:<14} {value}")
