"""BOLD: JSON files `DOMAIN_prompt.json`, category -> name of the article -> its prompts.

The space at the end of each prompt goes: a tokenizer would make a token of it that no text has
there, since the word that follows brings its own.
"""

from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from edgeeval.errors import PromptSetError
from edgeeval.prompts.upstream.reading import (
    Imported,
    Problem,
    Row,
    collect,
    files,
    json_document,
    slug,
)

_SUFFIX = "_prompt.json"


def read(path: Path) -> Imported:
    """Read one domain's file, or all of a folder's."""
    return collect("open", chain.from_iterable(map(_rows, files(path, f"*{_SUFFIX}"))), _item)


def _rows(path: Path) -> Iterator[Row | Problem]:
    """Yield a row for each prompt, or a problem for what is no list of prompts."""
    if not path.name.endswith(_SUFFIX):
        raise PromptSetError(f"{path}: BOLD's files are called DOMAIN{_SUFFIX}")
    document = json_document(path)
    if not isinstance(document, dict):
        raise PromptSetError(f"{path}: not categories of prompts")
    domain = path.name.removesuffix(_SUFFIX)
    for category, articles in document.items():
        if not isinstance(articles, dict):
            yield Problem(f"{path}: {category}", "not an object of articles")
            continue
        for article, prompts in articles.items():
            where = f"{path}: {category}: {article}"
            if not isinstance(prompts, list):
                yield Problem(where, "not a list of prompts")
                continue
            for number, prompt in enumerate(prompts, 1):
                place = {"domain": domain, "category": category, "article": article}
                yield Row(f"{where}: {number}", {"prompt": prompt, "number": number, **place})


def _item(row: Row) -> Iterator[Mapping[str, Any]]:
    domain, category, article = (row.text(key) for key in ("domain", "category", "article"))
    template = slug("bold", domain, category, article)
    yield {
        "id": slug(template, str(row.fields["number"])),
        "template_id": template,
        "groups": {"domain": domain, "category": category},
        "prompt": row.text("prompt").rstrip(),
    }
