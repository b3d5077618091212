"""A plain text file, for perplexity and divergence.

It is taken whole and unchanged, one trailing newline apart, as llama-perplexity takes a file:
a perplexity over mended text would be that of another text. So a file that is not all text is
refused, and not read in part.
"""

from pathlib import Path

from edgeeval.errors import PromptSetError
from edgeeval.prompts.items import TextItem
from edgeeval.prompts.upstream.reading import Imported, slug


def read(path: Path) -> Imported:
    """Read a plain text file.

    Raises:
        PromptSetError: it cannot be read, is not UTF-8, holds NUL, or is empty; names the line.
    """
    try:
        data = path.read_bytes()
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise PromptSetError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise PromptSetError(f"{path}:{_line_of(data, error.start)}: not UTF-8") from None
    if b"\0" in data:
        raise PromptSetError(f"{path}:{_line_of(data, data.index(0))}: holds a NUL; is it a text?")
    if not text.strip():
        raise PromptSetError(f"{path}: empty")
    name = slug(path.name) or "text"
    item = TextItem(id=name, template_id=name, groups={}, text=text.removesuffix("\n"))
    return Imported("text", "plain", (item,), (), n_rows=len(text.removesuffix("\n").split("\n")))


def _line_of(data: bytes, position: int) -> int:
    return 1 + data.count(b"\n", 0, position)
