"""What nobody may read, such as a secret or a learner's name, is taken out of a text, however it is written there."""

import re
import unicodedata
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from totara_bridge.printable import CUT
from totara_bridge.writings import Writing, plain, writings

REDACTED = "[redacted]"

#: ASCII shorter than this, and digits alone, are looked for as whole words only: nearly every text has a few letters of
#: it somewhere, and a reference of the destination's any digits.
_SHORT = 4

#: So few values are looked for one after the other: a long text is read faster than all its beginnings are listed.
_FEW = 8

#: What a short value may not touch; scripts that put no space between words begin with Thai.
_WORD = r"[^\W\u0e00-\U0010ffff]"

#: What an escape that was cut looks like.
_BROKEN = re.compile(r"(?:[&%\\][#\w]{0,8}|\ufffd)*\Z")
_LONGEST_BROKEN = 40


@dataclass(frozen=True)
class Hidden:
    """Values that no text may show."""

    values: frozenset[str] = field(repr=False)

    def hide(self, text: str) -> str:
        """A text without these values, in whatever case and escaped in whatever common way (JSON, HTML, URL).

        Before each `CUT`, what could be the beginning of a value is hidden too.
        """
        text = unicodedata.normalize("NFC", text)
        kept: list[str] = []
        end = 0
        for first, after in sorted({place for writing in writings(text) for place in self._places(writing)}):
            if first > end or not kept:
                kept += [text[end:first], REDACTED]
            end = max(end, after)
        return storable("".join([*kept, text[end:]]))

    def _places(self, writing: Writing) -> Iterator[tuple[int, int]]:
        for form in self._in(writing.text):
            for match in re.finditer(_pattern(form), writing.text):
                yield writing.place(*match.span())
        end = 0
        while (cut := writing.text.find(CUT, end)) >= 0:
            first = self._first_of_cut(writing.text, end, cut)
            if first < cut:
                yield writing.place(first, cut)
            end = cut + len(CUT)

    def _in(self, text: str) -> Iterator[str]:
        """The values that are in a text; of many, few are looked for, as most begin like nothing in it."""
        if len(self._forms) <= _FEW:
            yield from (form for form in self._forms if form in text)
            return
        for size, forms in self._by_beginning.items():
            for beginning in {text[at : at + size] for at in range(len(text))} & forms.keys():
                yield from (form for form in forms[beginning] if form in text)

    def _first_of_cut(self, text: str, end: int, cut: int) -> int:
        """Where the longest beginning of a value starts that `text` has before `cut`, an escape cut in two left out."""
        broken = _BROKEN.search(text, max(end, cut - _LONGEST_BROKEN), cut)
        last = broken.start() if broken else cut
        return next((at for at in range(max(end, last - self._longest), last) if self._begins(text, at, last)), last)

    def _begins(self, text: str, first: int, last: int) -> bool:
        said = text[first:last]
        at = bisect_left(self._forms, said)
        if at == len(self._forms) or not self._forms[at].startswith(said):
            return False
        return not _is_short(said) or first == 0 or re.match(_WORD, text[first - 1]) is None

    @cached_property
    def _forms(self) -> Sequence[str]:
        """The values in plain writing, also as they are if what looks like an escape in them is one; in order."""
        return sorted({form for value in self.values for form in plain(value)})

    @cached_property
    def _longest(self) -> int:
        return max(map(len, self._forms), default=0)

    @cached_property
    def _by_beginning(self) -> Mapping[int, Mapping[str, list[str]]]:
        """The same by their first characters, by how many these are."""
        forms: dict[int, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        for form in self._forms:
            beginning = form[:_SHORT]
            forms[len(beginning)][beginning].append(form)
        return forms


def storable(text: str) -> str:
    """The text without what PostgreSQL cannot store: NUL, and halves of surrogate pairs."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()


def _is_short(form: str) -> bool:
    return form.isascii() and (len(form) < _SHORT or form.isdigit())


def _pattern(form: str) -> str:
    exact = re.escape(form)
    return rf"(?<!{_WORD}){exact}(?!{_WORD})" if _is_short(form) else exact
