"""The rows that ship with everlearn: anchor text and probes."""

from __future__ import annotations

import json
from pathlib import Path

from everlearn.types import Example

DATA = Path(__file__).parent / "data"


def shipped_rows(name: str) -> list[dict[str, object]]:
    """The rows of one of our own data files, as they stand there."""
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


def anchor_texts() -> list[Example]:
    """42 short passages on which a model's drift from its start is measured: some 2,500 tokens of English and Chinese.

    Everyday prose, dialogue, letters, recipes, news, support, code, tables and arithmetic in words, all written for this purpose. They say
    whether a model still speaks as it did; they are too few to rank models by.
    """
    return [Example(text=str(row["text"]), source="everlearn/anchor") for row in shipped_rows("anchor.jsonl")]
