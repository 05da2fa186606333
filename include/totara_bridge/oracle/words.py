"""Oracle's own words, taken from any error body that its services send, short and safe to show."""

import json
import re
from typing import Any, NamedTuple

from totara_bridge.printable import CUT, one_line

#: No word that is kept or shown is longer, in characters.
LONGEST = 500

_CREDENTIAL = re.compile(r"(?i)\b(bearer|basic)\s+(?:[\w.~+/=%&#;-]|\\[/u]){8,}|\beyJ[\w-]+\.[\w-]+\.[\w-]*")
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)


class Words(NamedTuple):
    """What an error body says."""

    code: str | None = None
    text: str | None = None

    def __str__(self) -> str:
        """Both, in the order to read them; empty where nothing was said."""
        return ": ".join(part for part in (self.code, self.text) if part)


def words_of(body: bytes) -> Words:
    """The code and the words of an error body; nothing where it has none that are known to be words.

    Known are Oracle's ``o:errorDetails``, RFC 9457 problem documents, ``{"error": {"code", "message"}}``,
    OAuth2's ``error`` and ``error_description``, plain text, and the title of an HTML page. JSON of another
    shape gives nothing: it may repeat what was sent.
    """
    text = body.decode(errors="replace")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return _of_text(text)
    return words_in(document)


def words_in(document: Any) -> Words:
    """The same of JSON that is already read."""
    if not isinstance(document, dict):
        return Words(None, shorten(document))
    details = document.get("o:errorDetails")
    if isinstance(details, list) and details and isinstance(details[0], dict):
        return _of_details(details, document)
    error = document.get("error")
    if isinstance(error, dict):
        return Words(shorten(error.get("code")), shorten(error.get("message") or error.get("detail")))
    if isinstance(error, str):
        return Words(shorten(error), shorten(document.get("error_description") or document.get("message")))
    said = [shorten(document.get(name)) for name in ("title", "detail", "message")]
    code = shorten(document.get("o:errorCode") or document.get("code"))
    return Words(code, shorten(": ".join(part for part in said if part)))


def shorten(value: object) -> str | None:
    """A text or number as one line of at most `LONGEST` characters, without anything like a credential.

    It ends with `CUT` if it is not the whole text.
    """
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    # cut twice: a long text is not searched whole, and a replaced word may be longer than what it was
    text = str(value)
    line = without_credentials(one_line(text[: 4 * LONGEST]).strip())
    if len(line) > LONGEST or text[4 * LONGEST :].strip():
        line = line[: LONGEST - 1] + CUT
    return line or None


def without_credentials(text: str) -> str:
    """The text without anything like a credential, and without halves of surrogate pairs, which nothing can store."""
    return _CREDENTIAL.sub("[credential]", text.encode(errors="replace").decode())


def _of_details(details: list[Any], document: dict[str, Any]) -> Words:
    said = []
    for each in details[:5]:
        if isinstance(each, dict) and (detail := shorten(each.get("detail"))):
            place = shorten(each.get("o:errorPath"))
            said.append(f"{detail} ({place})" if place else detail)
    text = "; ".join(said) or document.get("detail") or document.get("title")
    return Words(shorten(details[0].get("o:errorCode")), shorten(text))


def _of_text(text: str) -> Words:
    if not text.lstrip().startswith("<"):
        return Words(None, shorten(text))
    title = _TITLE.search(text)
    return Words(None, shorten(title.group(1)) if title else None)
