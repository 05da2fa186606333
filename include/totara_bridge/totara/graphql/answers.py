"""What an answer of the token endpoint or of the GraphQL API means: the one table, from bodies measured on 17.3.

Most errors come with status 200. Their reason is in ``debugMessage`` alone, which a Totara may be set up to leave out.
What is not known to the API is no error: it is just missing from the answer.
"""

import html
import re
from typing import Any, NamedTuple

from totara_bridge.errors import TotaraRefused, TotaraUnavailable
from totara_bridge.hidden import Hidden
from totara_bridge.printable import CUT, one_line
from totara_bridge.totara.http import Answer

_LONGEST_WORDS = 300
_LONGEST_READ = 4 * _LONGEST_WORDS  #: characters of a text in which secrets are looked for
_HALF_OF_A_PAIR = re.compile(r"[\ud800-\udfff]+")
_CREDENTIAL = re.compile(r"(?i)\bbearer\s+(?:[\w.~+/=%&#;-]|\\[/u]){8,}|\beyJ[\w-]+\.[\w-]+\.[\w-]*")
_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
_BARE = "Internal server error"
_LONGEST_LIFE = 366 * 86_400  #: seconds that a token is believed to hold; a number may have any length


class TokenUnknown(TotaraRefused):
    """The API does not take the token, or may not: it does not say why."""


class TooComplex(TotaraRefused):
    """The answer would be larger than the API allows."""


class TooOften(TotaraUnavailable):
    """More was asked in a minute than the API allows."""

    retry_after: float | None = None


class _Meaning(NamedTuple):
    """What an error looks like, and what is said of it."""

    pattern: str
    kind: type[TotaraRefused] | type[TotaraUnavailable]
    sentence: str


_MEANINGS = (
    _Meaning(
        r"Missing, expired or invalid access token",
        TokenUnknown,
        "{place} does not take the access token that it gave: see that the API client is enabled (Server > "
        "API > Clients) and that the clocks of Totara's servers agree.",
    ),
    _Meaning(
        r"required Authorization header",
        TotaraRefused,
        "{place} was not shown the Authorization header: have the administrator of Totara's web server pass it on to "
        "PHP (CGIPassAuth on Apache, fastcgi_param HTTP_AUTHORIZATION on nginx), and any proxy before it too.",
    ),
    _Meaning(
        r"API user is invalid",
        TotaraRefused,
        "{place} does not let the API client's service account in: choose one that is not suspended, deleted, a guest "
        "or a site administrator (Server > API > Clients).",
    ),
    _Meaning(
        r"Feature api is not available",
        TotaraRefused,
        "{place} says that its API is off: have Totara's administrator turn on the feature API (Server > Advanced "
        "features).",
    ),
    _Meaning(
        r"Too many requests",
        TooOften,
        "{place} was asked for more than it allows in a minute: it will be asked again; if it stays so, have Totara's "
        "administrator raise the rate limits of the API (Server > API > Settings).",
    ),
    _Meaning(
        r"Query complexity exceeded",
        TooComplex,
        "{place} refuses an answer of that size ({words}): have Totara's administrator raise the maximum query "
        "complexity of the API (Server > API > Settings), or lower the records per page of the report.",
    ),
    _Meaning(
        r"Max query depth",
        TotaraRefused,
        "{place} refuses a query of that depth ({words}): have Totara's administrator raise the maximum query depth "
        "of the API to 15 (Server > API > Settings).",
    ),
    _Meaning(
        r"introspection is not enabled",
        TotaraRefused,
        "{place} does not tell what it can be asked ({words}): nothing is to be done, unless what is asked needs it.",
    ),
    _Meaning(
        r"only POST method|request cannot be empty",
        TotaraRefused,
        '{place} did not get the request as it was sent ({words}): correct "Server URL", so that no redirect is '
        "followed, or the proxy on the way.",
    ),
    _Meaning(
        r"Syntax Error|got invalid value|was not provided|Invalid cursor|sort field must be",
        TotaraRefused,
        "{place} does not understand what it was asked ({words}): this release of Totara has another API than 17 to "
        "20; choose another source for this connection.",
    ),
    _Meaning(
        r"Cannot find report",
        TotaraRefused,
        "{place} has no such report ({words}): put the number in the address of the report's page into id in "
        '"Report".',
    ),
    _Meaning(
        r"saved search",
        TotaraRefused,
        "{place} does not use that saved search ({words}): have whoever made it share it, or correct saved_search in "
        '"Report".',
    ),
    _Meaning(
        r"(?i)permission|not accessible",
        TotaraRefused,
        "{place} does not let the API client's service account see it ({words}): give the account the capability, or "
        "access to the report (its tab Access).",
    ),
    _Meaning(
        r"(?i)\bdatabase\b|deadlock|lock wait|timed? ?out|execution time|memory size",
        TotaraUnavailable,
        "{place} could not answer ({words}): it will be asked again; if it stays so, look into the error log of "
        "Totara's web server.",
    ),
)


def data_of(answer: Answer, place: object, hidden: Hidden) -> Any:
    """What was asked for; a list where nothing of it is known there.

    :param place: the address, for sentences.
    :param hidden: what no sentence may show, whatever Totara says: the token and the secret.
    :raises TokenUnknown, TooComplex: what the client can do something about.
    :raises TotaraUnavailable: later may help; `TooOften` where a minute does.
    :raises TotaraRefused: a person has to change something.
    """
    document = _document(answer, place, hidden)
    errors = document.get("errors")
    if errors or answer.status >= 400 or "data" not in document:
        raise _meaning(_words(errors or document.get("error"), hidden), _has_path(errors), place)
    return document["data"]


def token_of(answer: Answer, place: object, hidden: Hidden) -> tuple[str, float]:
    """An access token, and the seconds that it holds.

    :param hidden: what no sentence may show, whatever Totara says: the secret.
    :raises TotaraUnavailable: later may help.
    :raises TotaraRefused: a person has to change something.
    """
    document = _document(answer, place, hidden)
    token, lifetime = document.get("access_token"), document.get("expires_in")
    if isinstance(token, str) and re.fullmatch(r"[!-~]+", token) and isinstance(lifetime, int | float):
        return token, float(min(lifetime, _LONGEST_LIFE))
    words = _shortened(hidden, document.get("error"), document.get("hint"))
    match document.get("error"):
        case "invalid_client":
            raise TotaraRefused(
                f'{place} gives no access token for this API client ({words}): correct "API client ID" and "API '
                "client secret\", or have Totara's administrator enable the client (Server > API > Clients)."
            )
        case "unsupported_grant_type" | "invalid_request":
            raise TotaraRefused(
                f'{place} did not get the form as it was sent ({words}): correct "Server URL", so that no redirect '
                "is followed, or the proxy on the way."
            )
    raise _meaning(words, False, place)


def _document(answer: Answer, place: object, hidden: Hidden) -> dict[str, Any]:
    try:
        document = answer.json()
    except ValueError:
        document = None
    if isinstance(document, dict):
        return document
    said = _title(answer, hidden)
    if answer.status in (401, 403):
        raise TotaraRefused(
            f"{place} answered {answer.status} and says no more{said}: have Totara's administrator let this "
            "machine's address in (web server, firewall, IP allow-list of the API client)."
        )
    raise TotaraUnavailable(
        f"{place} answered {answer.status}, but not with JSON{said}: it will be asked again; if it stays so, "
        'correct "Server URL" (the folder in it included), or look into the error log of Totara\'s web server.'
    )


def _meaning(words: str, has_path: bool, place: object) -> TotaraRefused | TotaraUnavailable:
    for each in _MEANINGS:
        if re.search(each.pattern, words):
            return each.kind(each.sentence.format(place=place, words=words))
    if words == _BARE:
        # a field that fails has a path; who is not let in has none
        kind = TotaraUnavailable if has_path else TokenUnknown
        return kind(
            f"{place} answers {_BARE} and does not say why: have Totara's administrator set the API's response debug "
            "to Normal (Server > API > Settings, or the API client's), and look whether the client and its service "
            "account are enabled."
        )
    return TotaraRefused(
        f"{place} refuses ({words or 'without a word'}): see that the API client's service account may read what is "
        "asked, or look into the error log of Totara's web server."
    )


def _words(errors: Any, hidden: Hidden) -> str:
    """Totara's own words of the first error: the reason, where it says one."""
    first = errors[0] if isinstance(errors, list) and errors else errors
    if isinstance(first, dict):
        return _shortened(hidden, first.get("debugMessage") or first.get("message"))
    return _shortened(hidden, first)


def _has_path(errors: Any) -> bool:
    return isinstance(errors, list) and bool(errors) and isinstance(errors[0], dict) and bool(errors[0].get("path"))


def _shortened(hidden: Hidden, *values: object) -> str:
    """Texts as one line that may be shown."""
    # cut twice: a long text is not searched whole, and what is cut before it is searched may end within a secret
    cut = (each[:_LONGEST_READ] + CUT * (len(each) > _LONGEST_READ) for each in values if isinstance(each, str))
    said = (" ".join(_HALF_OF_A_PAIR.sub(" ", one_line(each)).split()) for each in cut if each)
    line = _CREDENTIAL.sub("[credential]", hidden.hide(": ".join(said)))
    return line if len(line) <= _LONGEST_WORDS else line[: _LONGEST_WORDS - 1] + CUT


def _title(answer: Answer, hidden: Hidden) -> str:
    """What the page calls itself that came instead."""
    found = _TITLE.search(answer.body[: 1 << 16].decode(errors="replace"))
    words = _shortened(hidden, html.unescape(found[1]) if found else answer.content_type)
    return f" ({words})" if words else ""
