"""CrowS-Pairs: csv with `sent_more`, `sent_less`, `stereo_antistereo`, `bias_type`.

`sent_more` is the more stereotyped sentence whether the pair shows a stereotype or breaks one; the
two differ in the word for the group.
"""

from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

from edgeeval.prompts.upstream.reading import Imported, Row, collect, csv_rows, files, slug

_COLUMNS = ("sent_more", "sent_less", "stereo_antistereo", "bias_type")


def read(path: Path) -> Imported:
    """Read `crows_pairs_anonymized.csv`."""
    found = files(path, "crows_pairs_anonymized.csv")
    rows = chain.from_iterable(csv_rows(file, _COLUMNS) for file in found)
    return collect("pairs", rows, _item)


def _item(row: Row) -> Iterator[Mapping[str, Any]]:
    item_id = slug("crows-pairs", row.line)
    direction = row.word("stereo_antistereo", ("stereo", "antistereo"))
    yield {
        "id": item_id,
        "template_id": item_id,
        "groups": {"bias_type": row.text("bias_type"), "stereo_antistereo": direction},
        "more": row.text("sent_more"),
        "less": row.text("sent_less"),
        "direction": "group",
    }
