"""A record key names an instance for ever: ``TB`` and 26 base32 characters (RFC 4648) of a SHA-256.

The hash is of the text ``site:user:course:seconds:ordinal``: the site's code, Totara's ids, the completion time as
first seen in Unix seconds, empty where Totara did not say one, and a number that tells apart instances of the same
pair and time. 28 characters, because Oracle's numbers may have 30, and never ``OLC`` first, which Oracle keeps for
itself (HCM Data Loader, "General Validations Done When Loading Oracle Learning Assignments").

PostgreSQL mints the keys where the instances are inserted: measured at 0.3 s for 200 000, a third of what reading
them out and hashing them in Python takes. It has no base32, hence the arithmetic: the first 130 bits are taken
ten at a time, and each ten are looked up as two characters at once.
"""

from base64 import b32encode
from hashlib import sha256

from totara_bridge.staging.states import Kind

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_PAIRS = "".join(first + second for first in _ALPHABET for second in _ALPHABET)


def item_key(record_key: str, kind: Kind, revision: int) -> str:
    """An item's idempotency key: the record key, or where it is no completion a hash of that, kind and revision."""
    if kind == Kind.COMPLETION:
        return record_key
    digest = sha256(f"{record_key}:{kind}:{revision}".encode()).digest()
    return "TB" + b32encode(digest).decode()[:26]


def mint(*, site: str, user: str, course: str, time: str, ordinal: str, rows: str) -> str:
    """SQL that selects from ``rows`` all of its columns and their ``record_key``.

    :param rows: a FROM item, such as a table's name; the other arguments are SQL expressions over it.
    """
    seconds = f"coalesce(extract(epoch FROM {time})::bigint::text, '')"
    name = f"{site} || ':' || {user} || ':' || {course} || ':' || {seconds} || ':' || {ordinal}"
    forty_bits = ", ".join(f"{_number(part)} AS bits_{part}" for part in range(4))
    pairs = " || ".join(_pair(number) for number in range(13))
    # OFFSET 0 keeps the planner from folding the sub-selects, which would hash once for each character
    return f"""
        SELECT keyed.*, convert_from('TB'::bytea || {pairs}, 'SQL_ASCII') AS record_key
        FROM (SELECT hashed.*, {forty_bits}, '{_PAIRS}'::bytea AS pairs
              FROM (SELECT source.*, sha256(convert_to({name}, 'UTF8')) AS digest
                    FROM {rows} AS source OFFSET 0) AS hashed
              OFFSET 0) AS keyed
    """


def _number(part: int) -> str:
    """SQL: five bytes of the digest as a number; the last part has only two left that count."""
    count = 5 if part < 3 else 2
    return " + ".join(f"(get_byte(digest, {5 * part + at})::bigint << {32 - 8 * at})" for at in range(count))


def _pair(number: int) -> str:
    part, at = divmod(number, 4)
    return f"substring(pairs, 1 + 2 * ((bits_{part} >> {30 - 10 * at}) & 1023)::int, 2)"
