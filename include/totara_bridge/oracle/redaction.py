"""What is kept or told of a request names no learner, also where the destination's answer repeats what it was sent."""

import html
import json
import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import quote

REDACTED = "[redacted]"

#: A text that ends with this was cut, maybe in the middle of what must not be shown.
CUT = "…"

#: A value shorter than this is looked for as a whole word only: nearly every text has a few letters of it somewhere.
_SHORT = 4


@dataclass(frozen=True)
class Redacted:
    """Payloads that name no learner, and what was taken out of them."""

    payload_texts: Sequence[str]
    values: frozenset[str] = field(repr=False)

    def hide(self, text: str) -> str:
        """A text without these values, in whatever case and escaped in whatever common way (JSON, HTML, URL).

        Where the text was cut (it ends with `CUT`), so much of its end is left out as could begin a value.
        """
        plain = unicodedata.normalize("NFC", _plain(text))
        lower = plain.lower()
        there = [form for form, low in self._forms if low in lower]
        kept, end = [], 0
        if there:
            for match in re.finditer("|".join(map(_pattern, there)), plain, re.IGNORECASE):
                kept += [plain[end : match.start()], REDACTED]
                end = match.end()
        rest = plain[end:]
        if plain.endswith(CUT) and self._forms:
            rest = plain[end : max(end, len(plain) - len(CUT) - len(self._forms[0][0]))] + CUT
        return "".join([*kept, rest])

    @cached_property
    def _forms(self) -> Sequence[tuple[str, str]]:
        """How the values may stand in a text, each also in lower case; the longest first, so that it is found whole."""
        forms = {form for value in self.values for form in _writings(value)}
        return [(form, form.lower()) for form in sorted(forms, key=len, reverse=True)]


def redact(payload_texts: Iterable[str], paths: Collection[str]) -> Redacted:
    """Write `REDACTED` at the personal paths of each item.

    :param paths: where in an item's JSON a learner is named, dots nest; a path that an item has not is no error.
    """
    found: set[str] = set()
    return Redacted([_without(text, paths, found) for text in payload_texts], frozenset(found))


def storable(text: str) -> str:
    """The text without what PostgreSQL cannot store: NUL, and halves of surrogate pairs."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()


def _without(payload_text: str, paths: Collection[str], found: set[str]) -> str:
    document = json.loads(payload_text)
    for path in paths:
        *parents, name = path.split(".")
        place: Any = document
        for parent in parents:
            place = place.get(parent) if isinstance(place, dict) else None
        if isinstance(place, dict) and place.get(name) not in (None, ""):
            found.add(str(place[name]))
            place[name] = REDACTED
    return storable(_json(document))


def _plain(text: str) -> str:
    """JSON with each character written as it is, so that a value is found however it was escaped; else the text."""
    try:
        return storable(_json(json.loads(text)))
    except (ValueError, RecursionError):
        return storable(text)


_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

_ESCAPES: Sequence[Callable[[str], str]] = (
    lambda text: _json(text)[1:-1],
    lambda text: json.dumps(text)[1:-1],
    html.escape,
    quote,
)

#: No escape changes what consists of these only.
_UNCHANGED = re.compile(r"[A-Za-z0-9_.-]+").fullmatch


def _writings(value: str) -> set[str]:
    """How a value may stand in a text: as it is, escaped, or escaped in what is escaped itself."""
    writings = {unicodedata.normalize("NFC", value)}
    for _ in range(2):
        writings |= {escape(each) for each in writings if not _UNCHANGED(each) for escape in _ESCAPES}
    return writings


def _pattern(writing: str) -> str:
    exact = re.escape(writing)
    return rf"(?<!\w){exact}(?!\w)" if len(writing) < _SHORT else exact
