"""A Totara connection is checked before anything is asked: what is wrong with its fields is one sentence."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError
from sqlalchemy import URL, Engine, NullPool, create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from totara_bridge.errors import ConfigurationInvalid
from totara_bridge.totara.query import ReadQuery

_DRIVERS = {
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mysql+pymysql",
}
_ADDRESS_SHAPE = "postgresql://user@host/database or mysql://user@host/database"
_PASSWORD_OPTIONS = {"password", "passwd", "sslpassword", "ssl_key_password"}


def _from_json(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise ValueError(f"is not JSON ({error})") from error


class _Fields(BaseModel):
    """The extra fields; what Airflow stores may be JSON values or their text."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    database_url: Annotated[str, StringConstraints(strip_whitespace=True)] = ""
    database_password: Annotated[str, Field(repr=False)] = ""
    table_prefix: Annotated[str, StringConstraints(pattern=r"^([a-z][a-z0-9_]{0,15})?$")] = "ttr_"
    timeout_ms: Annotated[int, Field(ge=1, le=3_600_000)] = 30_000
    is_active: bool = True
    is_source: bool = True
    is_target: bool = False
    query: Annotated[ReadQuery, BeforeValidator(_from_json)] = ReadQuery()


@dataclass(frozen=True, kw_only=True)
class TotaraConnection:
    """One Totara and how to read it."""

    database_url: URL  #: with the driver and the password; its text shows ``***`` for the password
    table_prefix: str = "ttr_"
    timeout: float = 30.0  #: seconds that a connection or a statement of the check may take
    server_url: str = ""
    api_token: str = field(default="", repr=False)
    is_active: bool = True
    is_source: bool = True
    is_target: bool = False
    query: ReadQuery = field(default_factory=ReadQuery)

    @classmethod
    def from_fields(
        cls, name: str, *, server_url: str = "", api_token: str = "", extra: Mapping[str, Any]
    ) -> "TotaraConnection":
        """The connection that the fields of an Airflow Connection describe.

        :param name: what the sentences call it, such as "The connection totara_sandbox".
        :param extra: the extra fields; numbers, switches and the query may also be given as text, and a
            field that is absent or empty has its default (an empty table prefix is no prefix).
        :raises ConfigurationInvalid: a field says something that cannot be.
        """
        given = {key: value for key, value in extra.items() if value not in (None, "")}
        if "table_prefix" in extra:
            given["table_prefix"] = extra["table_prefix"] or ""
        try:
            fields = _Fields.model_validate(given)
        except ValidationError as error:
            raise ConfigurationInvalid(_wrong_fields(name, error)) from error
        if fields.is_target:
            raise ConfigurationInvalid(
                f'{name} has "Is target" on, but nothing can be written to a Totara yet: turn it off.'
            )
        if server_url and not server_url.startswith(("https://", "http://")):
            raise ConfigurationInvalid(
                f"{name} has the server URL {server_url!r}, which names no protocol: write it in "
                '"Server URL" as https://host.'
            )
        return cls(
            database_url=_database_url(name, fields),
            table_prefix=fields.table_prefix,
            timeout=fields.timeout_ms / 1000,
            server_url=server_url.rstrip("/"),
            api_token=api_token,
            is_active=fields.is_active,
            is_source=fields.is_source,
            is_target=fields.is_target,
            query=fields.query,
        )

    def refuse_unless_source(self, name: str) -> None:
        """Stop a task that would read through a connection that may not be read.

        :raises ConfigurationInvalid: it is not active, or not a source.
        """
        if not self.is_active:
            raise ConfigurationInvalid(
                f'{name} is not active, so nothing is read from this Totara: turn "Is active" on, or take '
                "the site out of bridge.toml."
            )
        if not self.is_source:
            raise ConfigurationInvalid(
                f'{name} is not a source, so nothing is read from this Totara: turn "Is source" on, or take '
                "the site out of bridge.toml."
            )

    def engine(self) -> Engine:
        """A new engine without a pool; connecting takes at most the timeout (PostgreSQL: 2 s or more).

        On MySQL and MariaDB, waiting for the next bytes of an answer is limited by the timeout as well.
        """
        if self.database_url.get_backend_name() == "mysql":
            arguments = dict.fromkeys(("connect_timeout", "read_timeout", "write_timeout"), self.timeout)
        else:
            arguments = {"connect_timeout": max(2, round(self.timeout))}
        return create_engine(self.database_url, connect_args=arguments, poolclass=NullPool, hide_parameters=True)


def _wrong_fields(name: str, error: ValidationError) -> str:
    places = []
    for each in error.errors(include_input=False, include_url=False):
        place = ".".join(str(part) for part in each["loc"])
        match each["type"]:
            case "extra_forbidden" if len(each["loc"]) > 1:
                places.append(f"{place} is unknown (known: {', '.join(ReadQuery.model_fields)})")
            case "extra_forbidden":
                places.append(f"{place} is unknown (known: {', '.join(_Fields.model_fields)})")
            case "string_pattern_mismatch":
                places.append(f"{place}: at most 16 of a–z, 0–9 and _, a letter first, as in ttr_")
            case _:
                places.append(f"{place}: {each['msg'].removeprefix('Value error, ')}")
    return f"{name} has fields that cannot be: {'; '.join(places)}."


def _database_url(name: str, fields: _Fields) -> URL:
    """The address with driver and password.

    :raises ConfigurationInvalid: never with the address in the sentence, as it may hold a password.
    """
    if not fields.database_url:
        raise ConfigurationInvalid(
            f'{name} has no database URL: reading through web services comes later, so fill in "Database '
            f'URL", as {_ADDRESS_SHAPE}, and the password in "Database password".'
        )
    try:
        url = make_url(fields.database_url)
    except (ArgumentError, ValueError):
        raise ConfigurationInvalid(
            f'{name} has a "Database URL" that is no address: write it as {_ADDRESS_SHAPE}.'
        ) from None  # the cause quotes the address
    if url.password or _PASSWORD_OPTIONS & set(url.query):
        raise ConfigurationInvalid(
            f'{name} has a password in "Database URL", a field that Airflow shows to whoever may look at '
            'Connections: take it out there and put it in "Database password".'
        )
    driver = _DRIVERS.get(url.get_backend_name()) if "+" not in url.drivername else None
    if url.drivername in _DRIVERS.values():
        driver = url.drivername
    if driver is None:
        raise ConfigurationInvalid(
            f'{name} has a "Database URL" that begins with {url.drivername!r}, but Totara is read from '
            f"PostgreSQL, MySQL or MariaDB: write it as {_ADDRESS_SHAPE}."
        )
    if not url.database:
        raise ConfigurationInvalid(f'{name} has a "Database URL" that names no database: write it as {_ADDRESS_SHAPE}.')
    return url.set(drivername=driver, password=fields.database_password or None)
