"""What people see of a Connection: where it leads and as whom, what its test found, and nothing that opens it."""

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from pydantic import TypeAdapter, ValidationError
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from totara_bridge.errors import BridgeError
from totara_bridge.orchestration.oracle_hook import OracleHook
from totara_bridge.orchestration.provider import get_provider_info
from totara_bridge.orchestration.stored import stored
from totara_bridge.orchestration.totara_hook import TotaraHook

log = logging.getLogger(__name__)

#: What takes the place of something that may be a secret.
HIDDEN = "…"


@dataclass(frozen=True)
class ConnectionType:
    """What can be done with a Connection of one of our types, by its name."""

    require_usable: Callable[[str], object]  #: raises a `BridgeError` where a task could not use it
    test: Callable[[str], tuple[bool, str]]


#: What is shorter would be found in any sentence.
_SHORTEST_SECRET = 4

#: By Airflow's name of the type.
TYPES = {
    "totara": ConnectionType(
        lambda name: TotaraHook(name).connection(), lambda name: TotaraHook(name).test_connection()
    ),
    "oracle_completions": ConnectionType(
        lambda name: OracleHook(name).access(), lambda name: OracleHook(name).test_connection()
    ),
}

#: The extra fields of each type with their defaults, as Airflow's form has them.
_DEFAULTS = {
    each["connection-type"]: {name: field["schema"].get("default") for name, field in each["conn-fields"].items()}
    for each in get_provider_info()["connection-types"]
}


def described(connection_id: str) -> dict[str, Any]:
    """What a Connection says: ``connection``, ``type``, ``has_secret``, ``wrong`` and the fields of its type.

    ``wrong`` is the sentence why tasks cannot use it, or none. Of Oracle there are ``base_url``, ``token_url``,
    ``client_id``, ``scope``, ``path``, ``timeout_ms`` and ``active``; of Totara ``source``, ``server_url``,
    ``database_host``, ``database``, ``table_prefix``, ``timeout_ms`` and ``active``. What may hold a secret in a wrong
    place is none.
    """
    try:
        connection = stored(connection_id)
        found = {"connection": connection_id, "type": connection.conn_type, **_fields(connection)}
        return found | {"wrong": _discreet(_wrong(connection_id, connection.conn_type), connection)}
    except BridgeError as error:
        wrong = str(error)
    except Exception as error:  # a bad Connection is never to hide its neighbours
        log.error("the Connection %s cannot be read: %s", connection_id, type(error).__name__)
        wrong = _failure(connection_id, error)
    return {"connection": connection_id, "type": None, "has_secret": False, "wrong": wrong}


def tried(connection_id: str) -> tuple[bool, str]:
    """What the Connection's test found: whether it works, and a sentence without a secret."""
    try:
        connection = stored(connection_id)
        if connection.conn_type not in TYPES:
            return False, str(_wrong(connection_id, connection.conn_type))
        ok, sentence = TYPES[connection.conn_type].test(connection_id)
        return ok, str(_discreet(sentence, connection))
    except BridgeError as error:
        return False, str(error)
    except Exception as error:
        log.error("the test of the Connection %s failed: %s", connection_id, type(error).__name__)
        return False, _failure(connection_id, error)


def _failure(connection_id: str, error: Exception) -> str:
    """What is said where a library fails at a Connection: its own words may hold a secret."""
    return (
        f"Airflow cannot use the Connection {connection_id} ({type(error).__name__}): open it in Airflow, fill in its "
        "fields anew, and see that its extra is a JSON object."
    )


def _wrong(connection_id: str, kind: str) -> str | None:
    if kind not in TYPES:
        return (
            f"The Connection {connection_id} is of type {kind}, which is none of the bridge's: choose the type Totara "
            "or Oracle (completions) for it."
        )
    try:
        TYPES[kind].require_usable(connection_id)
    except BridgeError as error:
        return str(error)
    return None


def _fields(connection: Any) -> dict[str, Any]:
    given = {name: value for name, value in connection.extra_dejson.items() if value not in (None, "")}
    extra = _DEFAULTS.get(connection.conn_type, {}) | given
    of_both = {"timeout_ms": _number(extra.get("timeout_ms")), "active": _switch(extra.get("is_active"))}
    if connection.conn_type == "oracle_completions":
        return of_both | {
            "has_secret": bool(connection.password),
            "base_url": _address(connection.host),
            "token_url": _address(extra.get("oauth_url")),
            "client_id": connection.login or None,
            "scope": _words(extra.get("scope")),
            "path": _path(extra.get("path")),
        }
    if connection.conn_type == "totara":
        return of_both | {
            "source": _words(extra.get("source")),
            "has_secret": bool(_totara_secret(connection.password, extra)),
            "server_url": _address(connection.host),
            **_database(extra.get("database_url")),
            "table_prefix": _words(connection.extra_dejson.get("table_prefix", extra["table_prefix"])),
        }
    return {"has_secret": bool(connection.password)}


def _totara_secret(password: str | None, extra: Mapping[str, Any]) -> object:
    """What the source is opened with."""
    match extra.get("source"):
        case "database":
            return extra.get("database_password")
        case "report_query":
            return extra.get("api_secret")
    return password


def _address(url: object) -> str | None:
    """The address without user, password, query and fragment; none: what is left could still be one of these."""
    try:
        parts = urlsplit(url if isinstance(url, str) else "")
        host = parts.netloc.rpartition("@")[2]
        shown = urlunsplit((parts.scheme, host, parts.path, "", ""))
    except ValueError:
        return None
    return shown if parts.netloc and "@" not in shown else None


def _path(path: object) -> str | None:
    return path if isinstance(path, str) and not set(path) & set("?#@") else None


def _database(url: object) -> dict[str, str | None]:
    """Host and name; none where a password with an unescaped @ could have been taken for a part of the host."""
    try:
        parsed = make_url(url if isinstance(url, str) else "")
    except (ArgumentError, ValueError):
        return {"database_host": None, "database": None}
    host = parsed.host if re.fullmatch(r"[A-Za-z0-9._:-]*", parsed.host or "") else None
    name = parsed.database if re.fullmatch(r"[\w$.-]*", parsed.database or "") else None
    port = f":{parsed.port}" if parsed.port else ""
    return {"database_host": f"{host}{port}" if host else None, "database": name}


def _words(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: object) -> int | None:
    try:
        return TypeAdapter(int).validate_python(value)
    except ValidationError:
        return None


def _switch(value: object) -> bool | None:
    try:
        return TypeAdapter(bool).validate_python(value)
    except ValidationError:
        return None


def _discreet(sentence: str | None, connection: Any) -> str | None:
    """The sentence without anything of the Connection that may be a secret: sentences quote what is wrong."""
    if sentence is None:
        return None
    found = _secrets(connection.password, connection.host, connection.extra_dejson)
    for value in sorted(found, key=len, reverse=True):  # one may be within another
        sentence = sentence.replace(value, HIDDEN)
    return sentence


def _secrets(password: str | None, host: str | None, extra: Mapping[str, Any]) -> set[str]:
    """Passwords, and whatever stands where an address is to be and has more than an address."""
    secrets = {password, extra.get("database_password"), extra.get("api_secret")}
    secrets |= {each for each in (host, extra.get("oauth_url")) if isinstance(each, str) and _address(each) != each}
    secrets |= {each for each in [extra.get("path")] if _path(each) is None}
    secrets |= {each for each in [extra.get("database_url")] if each}
    return {each for each in secrets if isinstance(each, str) and len(each) >= _SHORTEST_SECRET}
