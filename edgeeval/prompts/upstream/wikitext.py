"""WikiText-2 (or -103), tokenized or raw, as its authors distribute it: one running text.

Nothing is mended: the published perplexities are of the file as it stands, its `<unk>` and `@-@`
included.
"""

from pathlib import Path

from edgeeval.prompts.upstream import plain_text
from edgeeval.prompts.upstream.reading import Imported, files


def read(path: Path) -> Imported:
    """Read a split: the file, or a folder that holds the test split."""
    return plain_text.read(files(path, "wiki.test.tokens", "wiki.test.raw", "test.txt")[0])
