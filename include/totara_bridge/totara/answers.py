"""Every error of Totara's database is one of ours: a sentence with what to do next, and whether later helps.

The words of libpq and PyMySQL are English whatever the server speaks, and a server's refusals are known by
their codes wherever there is one; what is not known is passed on in the server's words.
"""

import re
from typing import NamedTuple

import psycopg
from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError

from totara_bridge.errors import TotaraRefused, TotaraUnavailable

_LONGEST_WORDS = 300


class _Answer(NamedTuple):
    """What a cause looks like in ``(code) words``, and what is said of it."""

    pattern: str
    kind: type[TotaraRefused] | type[TotaraUnavailable]
    sentence: str


_ANSWERS = (
    _Answer(
        r"\(42501\)|\(114[23]\)",
        TotaraRefused,
        'The user "{user}" may not read everything that is needed in the database {database} ({words}): '
        "grant it SELECT on that table.",
    ),
    _Answer(
        r"\(42P01\)|\(1146\)",
        TotaraUnavailable,
        "The database {database} lacks a table that was there when reading began ({words}): try again once Totara's "
        "upgrade is over.",
    ),
    _Answer(
        r"\(42703\)|\(1054\)",
        TotaraUnavailable,
        "A table in the database {database} lacks a column that was there when reading began ({words}): try again "
        "once Totara's upgrade is over.",
    ),
    _Answer(
        r"\(57014\)|\(1969\)|\(3024\)",
        TotaraUnavailable,
        "Totara's database at {host} stopped a statement that took too long ({words}): raise the timeout, or "
        "try when it has less to do.",
    ),
    _Answer(
        r'\(28P01\)|\(1045\)|password authentication failed|no password supplied|role "[^"]*" does not exist',
        TotaraRefused,
        'Totara\'s database at {host} refuses the user "{user}" with this password: correct the user in '
        '"Database URL" or the "Database password".',
    ),
    _Answer(
        r"pg_hba\.conf|\(1130\)|\(1129\)",
        TotaraRefused,
        'Totara\'s database at {host} does not let the user "{user}" in from this machine ({words}): have '
        "its administrator allow this machine's address (pg_hba.conf, or the host part of the MySQL user).",
    ),
    _Answer(
        r'\(3D000\)|\(1049\)|\(1044\)|database "[^"]*" does not exist|permission denied for database',
        TotaraRefused,
        'There is no database {database} at {host} that the user "{user}" may open: correct its name in '
        '"Database URL", or grant the user access to it.',
    ),
    _Answer(
        r"failed to resolve host|Name or service not known|getaddrinfo failed|\[Errno -\d+\]",
        TotaraUnavailable,
        "The host {host} of Totara's database is not known to DNS on this machine: correct it in "
        '"Database URL", or run where the name is known (queue in bridge.toml).',
    ),
    _Answer(
        r"Connection refused|No such file or directory|actively refused",
        TotaraUnavailable,
        "Nothing listens at {host}, where Totara's database should be: correct host and port in "
        '"Database URL", or start the database.',
    ),
    _Answer(
        r"timeout expired|timed out|[Nn]o route to host|[Nn]etwork is unreachable",
        TotaraUnavailable,
        "Totara's database at {host} did not answer in time: open the way to it (firewall, VPN), run where "
        "there is one (queue in bridge.toml), or raise the timeout.",
    ),
    _Answer(
        r"\(53300\)|\(1040\)|\(1203\)|\(1226\)|too many (clients|connections)|remaining connection slots",
        TotaraUnavailable,
        "Totara's database at {host} has no connection left ({words}): try later, or have its administrator "
        "allow more.",
    ),
    _Answer(
        r"\(2026\)|\bSSL\b|certificate",
        TotaraRefused,
        "The TLS connection to Totara's database at {host} cannot be made ({words}): switch TLS on at the "
        'database and name its certificate authority in "Database URL" (sslrootcert or ssl_ca), or ask for '
        "no TLS there.",
    ),
)


def explain(error: DBAPIError, url: URL) -> TotaraRefused | TotaraUnavailable:
    """The error in one sentence, without a secret, in the class that says whether trying again can help."""
    code, words = code_and_words(error)
    text = f"({code}) {words}"
    told = {"host": place(url), "user": url.username or "", "database": url.database, "words": words}
    for answer in _ANSWERS:
        if re.search(answer.pattern, text):
            return answer.kind(answer.sentence.format_map(told))
    # Both drivers raise OperationalError for what the statement is not to blame for.
    if type(error.orig).__name__ in {"OperationalError", "InterfaceError"} or error.connection_invalidated:
        return TotaraUnavailable(f"Totara's database at {told['host']} broke off ({words}): try again later.")
    return TotaraRefused(
        f"Totara's database at {told['host']} refuses a statement ({words}): check that it is a Totara "
        "database and that the table prefix is right."
    )


def place(url: URL) -> str:
    """Where a database is, as a person would say it: ``host:port``, or the folder of its socket."""
    host = url.host or url.query.get("host") or url.query.get("unix_socket") or "localhost"
    return f"{host}:{url.port}" if url.port else str(host)


def code_and_words(error: DBAPIError) -> tuple[str, str]:
    """The server's or driver's code ("" where there is none) and its words on one line."""
    original = error.orig
    if isinstance(original, psycopg.Error):
        code, words = original.sqlstate or "", original.diag.message_primary or str(original)
    else:
        arguments = original.args if original is not None else ()
        code, words = (str(arguments[0]), str(arguments[1])) if len(arguments) > 1 else ("", str(original))
    return code, " ".join(words.split())[:_LONGEST_WORDS]
