"""Tables in a page of docs, each between the two markers of its part."""

from collections.abc import Sequence
from pathlib import Path


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table that is also readable as it is."""
    lines = [headings, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    printed = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    ]
    printed.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(printed)


def put(page: Path, part: str, said: str) -> None:
    """Put what is said of a part into the page, in place of what is there.

    :raises SystemExit: the page has lost its markers.
    """
    first, last = f"<!-- {part}: begin -->", f"<!-- {part}: end -->"
    before, begin, rest = page.read_text(encoding="utf-8").partition(first)
    _, end, after = rest.partition(last)
    if not begin or not end:
        raise SystemExit(f"{page} has no place for the table: put back the lines {first} and {last}.")
    page.write_text(f"{before}{begin}\n{said}\n{end}{after}", encoding="utf-8")
