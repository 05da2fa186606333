"""What a page of the guide is made of; the page shows each kind in its own way.

In texts, what stands between two `` ` `` is code.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any

Block = dict[str, Any]


def section(name: str, title: str, *blocks: Block) -> dict[str, Any]:
    """A part that the navigation leads to.

    :param name: for the address.
    """
    return {"name": name, "title": title, "blocks": [*blocks]}


def words(text: str) -> Block:
    """A paragraph."""
    return {"kind": "words", "text": text}


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Block:
    """A table with a title."""
    return {"kind": "table", "title": title, "columns": [*columns], "rows": [[*row] for row in rows]}


def command(title: str, text: str, *, stdout: object = None) -> Block:
    """What is pasted into a shell, and what it prints.

    :param stdout: JSON; none: it is not shown.
    """
    return {"kind": "command", "title": title, "text": text, "answer": None if stdout is None else pretty(stdout)}


def code(title: str, text: str) -> Block:
    """Something to look at, and to copy."""
    return {"kind": "code", "title": title, "text": text}


def pretty(value: object) -> str:
    """JSON for people."""
    return json.dumps(value, ensure_ascii=False, indent=2)
