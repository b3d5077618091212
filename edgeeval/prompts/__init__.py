"""Read prompt sets: the project's own in prompts/, a person's file, or a plain text.

`load_set` reads one, `suite_sets` finds those that a suite names; `Suite` says what an item costs.
"""

from edgeeval.prompts.items import (
    BbqItem,
    ChoiceItem,
    DialectItem,
    OpenItem,
    PairItem,
    RefusalItem,
    TextItem,
    UnqoverItem,
)
from edgeeval.prompts.load import Header, PromptSet, find_sets, load_set, text_file_set
from edgeeval.prompts.suites import Suite, load_suite, suite_names, suite_sets

__all__ = [
    "BbqItem",
    "ChoiceItem",
    "DialectItem",
    "Header",
    "OpenItem",
    "PairItem",
    "PromptSet",
    "RefusalItem",
    "Suite",
    "TextItem",
    "UnqoverItem",
    "find_sets",
    "load_set",
    "load_suite",
    "suite_names",
    "suite_sets",
    "text_file_set",
]
