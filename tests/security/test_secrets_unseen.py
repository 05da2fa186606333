"""Nothing of ours that holds a secret shows it: not as text, not in a debugger's words, and not in what refuses it."""

import dataclasses
import importlib
import inspect
import pkgutil
import re
import traceback
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel, ValidationError
from sqlalchemy.exc import OperationalError

import totara_bridge
from totara_bridge.oracle.access import OracleAccess
from totara_bridge.oracle.sender import Sender
from totara_bridge.oracle.token import TokenHolder
from totara_bridge.orchestration.oracle_hook import _Fields
from totara_bridge.staging.engine import staging_engine
from totara_bridge.totara.connection import TotaraConnection
from totara_bridge.totara.fields import Fields, wrong_fields
from totara_bridge.totara.http import TotaraHttp

SECRET = "s3cr3t-w0rd"

#: What a field that holds a secret is called.
_SECRET = re.compile(r"token|secret|password|passwd|credential|bearer|authorization|api_?key|private")

#: Fields with such a name that hold none, and what they hold.
HARMLESS = {
    ("totara_bridge.oracle.access.OracleAccess", "token_url"): "an address, which may hold no credentials",
    ("totara_bridge.oracle.access.OracleAccess", "client_authentication"): "where credentials are sent",
}

#: These are no part of what is run in production.
_NOT_OURS = ("totara_bridge.sandbox", "totara_bridge.local", "totara_bridge.staging.migrations")


def _classes() -> Iterator[type]:
    for found in pkgutil.walk_packages(totara_bridge.__path__, "totara_bridge."):
        if not found.name.startswith(_NOT_OURS) and not found.name.endswith("__main__"):
            module = importlib.import_module(found.name)
            yield from (
                each for _, each in inspect.getmembers(module, inspect.isclass) if each.__module__ == found.name
            )


def _fields(of: type) -> list[str]:
    if dataclasses.is_dataclass(of):
        return [field.name for field in dataclasses.fields(of)]
    if issubclass(of, BaseModel):
        return list(of.model_fields)
    return list(getattr(of, "_fields", ())) if issubclass(of, tuple) else []


def _name(of: type) -> str:
    return f"{of.__module__}.{of.__qualname__}"


def _may_hold_text(of: type, field: str) -> bool:
    return inspect.get_annotations(of).get(field) not in (bool, int, UUID)


def _holders() -> list[tuple[type, str]]:
    """Every class and field that may hold a secret."""
    return [
        (each, field)
        for each in _classes()
        for field in _fields(each)
        if _SECRET.search(field) and _may_hold_text(each, field) and (_name(each), field) not in HARMLESS
    ]


def _made(of: type, secret: str) -> Any:
    """One with the secret in that field, whatever the others would have to be."""
    values: dict[str, Any] = {field: SECRET if field == secret else None for field in _fields(of)}
    if issubclass(of, BaseModel):
        return of.model_construct(**values)
    if issubclass(of, tuple):
        return of._make(values.values())  # type: ignore[attr-defined]
    made = object.__new__(of)
    for field, value in values.items():
        object.__setattr__(made, field, value)
    return made


def test_no_class_shows_what_it_holds() -> None:
    holders = _holders()
    assert {name.rpartition(".")[2] for name in (_name(each) for each, _ in holders)} >= {"OracleAccess", "Fields"}
    for each, field in holders:
        made = _made(each, field)
        for shown in (repr(made), str(made), f"{[made]}"):
            assert SECRET not in shown, (_name(each), field)


def test_what_refuses_a_field_of_a_connection_does_not_say_what_is_in_it() -> None:
    """Also of a secret in a wrong place."""
    for model in (Fields, _Fields):
        for field in {*model.model_fields, "unknown"} - {"time_zone"}:  # which is a short public name, and is told
            for value in (SECRET, [SECRET], {"unknown": SECRET}):
                try:
                    model.model_validate({field: value})
                except ValidationError as refused:
                    said = str(refused) + (wrong_fields("It", refused) if model is Fields else "")
                    assert SECRET not in said, (model, field)


def test_what_uses_secrets_does_not_show_them() -> None:
    access = OracleAccess(
        base_url="https://a.example", token_url="https://a.example/t", client_id="id", client_secret=SECRET
    )
    database = {"database_url": "postgresql://user@host/totara", "database_password": SECRET, "api_client": "c"}
    connection = TotaraConnection.from_fields(
        "It", server_url="https://t.example", api_token=SECRET, extra=database | {"api_secret": SECRET}
    )
    engine = staging_engine(f"postgresql+psycopg://bridge:{SECRET}@host/bridge")
    tokens = TokenHolder(access)
    with Sender(access, tokens) as sender, TotaraHttp(connection) as http:
        for each in (access, tokens, sender, connection, connection.url, connection.engine(), http, engine):
            assert SECRET not in repr(each) + str(each), type(each)
    engine.dispose()


def test_a_database_that_refuses_says_no_password() -> None:
    engine = staging_engine(f"postgresql+psycopg://bridge:{SECRET}@127.0.0.1:1/bridge")
    with pytest.raises(OperationalError) as refused:
        engine.connect()
    assert SECRET not in "".join(traceback.format_exception(refused.value))
    engine.dispose()


def test_a_class_that_shows_one_would_be_found() -> None:
    @dataclasses.dataclass
    class Careless:
        api_token: str

    assert _SECRET.search("api_token")
    assert SECRET in repr(_made(Careless, "api_token"))
