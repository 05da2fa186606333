"""Words of other systems are shown so that nobody who reads them is misled: no line that they made up, no terminal's
orders.

A server's answer, the name of a file or of a learner may hold line breaks, escape sequences, or marks that turn the
direction of what follows.
"""

import re

#: What a line is shown without, as in the brackets of a regular expression.
CONTROL = r"\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"

#: Where a text was cut, maybe in the middle of what must not be shown.
CUT = "…"

_CONTROL = re.compile(f"[{CONTROL}]+")
_BUT_LINES = re.compile(f"(?![\n\t])[{CONTROL}]")


def one_line(text: str) -> str:
    """The text on one line: a space stands for whatever is no character to be read."""
    return _CONTROL.sub(" ", text)


def visible(text: str) -> str:
    r"""The text as a terminal may show it.

    Its lines stay; what else would give the terminal orders is written out, as ``\u001b``.
    """
    return _BUT_LINES.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
