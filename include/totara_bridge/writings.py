"""One text in every way that somebody may read it: as it is, and with its escapes (JSON, HTML, URL) taken away."""

import html
import json
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from itertools import chain, repeat
from typing import NamedTuple
from urllib.parse import unquote

from totara_bridge.printable import CONTROL

#: An escape may be escaped itself, and that once more.
_DEEPEST = 3

_ESCAPE = re.compile(
    r"""&(?:\#[0-9]{1,7}|\#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});?
    |%[0-7][0-9a-fA-F] | %[c-fC-F][0-9a-fA-F](?:%[89abAB][0-9a-fA-F])+
    |\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2} | \\u[0-9a-fA-F]{4} | \\x[0-9a-fA-F]{2} | \\["'\\/bfnrt]
    """,
    re.VERBOSE,
)
#: What may be written in another way; a single space between others is as it should be.
_UNLIKE = re.compile(rf"(?! [^\s+{CONTROL}])[\s+{CONTROL}]+|[^\x00-\x7f]")

#: What has one writing only, but for its case.
_SIMPLE = re.compile(r"[\w@.,/'()-]+(?: [\w@.,/'()-]+)*", re.ASCII)


class Writing(NamedTuple):
    """A text, and from where to where in the original each of its characters comes."""

    text: str
    firsts: Sequence[int]
    afters: Sequence[int]

    def place(self, first: int, after: int) -> tuple[int, int]:
        """Where in the original a part of this text stands."""
        return self.firsts[first], self.afters[after - 1]

    def rewritten(self, pattern: re.Pattern[str], rewrite: Callable[[str], str]) -> "Writing":
        """With another text for each match; itself if nothing changes."""
        texts: list[str] = []
        firsts: list[Sequence[int] | Iterator[int]] = []
        afters: list[Sequence[int] | Iterator[int]] = []
        end = 0
        for match in pattern.finditer(self.text):
            if (new := rewrite(match[0])) != match[0]:
                first, after = match.span()
                texts += [self.text[end:first], new]
                firsts += [self.firsts[end:first], repeat(self.firsts[first], len(new))]
                afters += [self.afters[end:first], repeat(self.afters[after - 1], len(new))]
                end = after
        if not texts:
            return self
        return Writing(
            "".join([*texts, self.text[end:]]),
            [*chain(*firsts), *self.firsts[end:]],
            [*chain(*afters), *self.afters[end:]],
        )


def writings(text: str) -> Iterator[Writing]:
    """The text with fewer and fewer escapes, each in small letters, and so that what reads alike is alike.

    Case, the two ways of Unicode to write an accent, and what stands for a space make no difference.
    """
    read = Writing(text, range(len(text)), range(1, len(text) + 1))
    for _ in range(1 + _DEEPEST):
        alike = read.rewritten(_UNLIKE, _alike)
        yield alike._replace(text=alike.text.lower())
        before, read = read, read.rewritten(_ESCAPE, _unescaped)
        if read is before:
            return


def plain(value: str) -> set[str]:
    """The same texts of a value, without spaces around it."""
    if _SIMPLE.fullmatch(value):
        return {value.lower()}
    normal = unicodedata.normalize("NFC", value)
    return {text for writing in writings(normal) if (text := writing.text.strip())}


def _unescaped(escape: str) -> str:
    if escape[0] == "&":
        return html.unescape(escape)
    if escape[0] == "%":
        return unquote(escape)
    if escape[1] == "x":
        return chr(int(escape[2:], 16))
    return "'" if escape[1] == "'" else str(json.loads(f'"{escape}"'))


def _alike(written: str) -> str:
    return _small(written) if len(written) == 1 and written != "+" and written.isprintable() else " "


@lru_cache(maxsize=4096)
def _small(character: str) -> str:
    # upper case first: that of ß is SS, that of ı is I
    return unicodedata.normalize("NFD", character.upper().casefold())
