"""A Totara connection is checked before anything is asked: what is wrong with its fields is one sentence."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import ValidationError
from sqlalchemy import URL, Engine, NullPool, create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from totara_bridge.errors import ConfigurationInvalid
from totara_bridge.network import leads_here
from totara_bridge.totara.fields import Fields, wrong_fields
from totara_bridge.totara.query import ReadQuery
from totara_bridge.totara.report import Report
from totara_bridge.totara.source import SourceKind

_DRIVERS = {
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mysql+pymysql",
}
_ADDRESS_SHAPE = "postgresql://user@host/database or mysql://user@host/database"
_PASSWORD_OPTIONS = {"password", "passwd", "sslpassword", "ssl_key_password"}


@dataclass(frozen=True, kw_only=True)
class TotaraConnection:
    """One Totara and how to read it."""

    source: SourceKind = SourceKind.DATABASE
    url: URL | None = None  #: the database's, with driver and password; its text shows ``***`` for the password
    table_prefix: str = "ttr_"
    timeout: float = 30.0  #: seconds that a connection, a request or a statement of the check may take
    server_url: str = ""  #: without a slash at its end
    api_token: str = field(default="", repr=False)  #: of web services
    requests_in_flight: int = 4  #: at most, of all threads together
    recheck: timedelta = timedelta(days=30)  #: a learner's course that is complete is asked about again after it
    api_client: str = ""  #: of the external GraphQL API
    api_secret: str = field(default="", repr=False)
    report: Report = field(default_factory=Report)
    zone: ZoneInfo = field(default_factory=lambda: ZoneInfo("UTC"))  #: the site's: whose days a report shows
    days_of: Literal["site", "learner"] = "site"  #: whose time zone the days of a report are in
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
        fields = _valid(name, extra)
        _refuse_no_address(name, server_url)
        _refuse_without_its_address(name, fields, server_url, api_token)
        return cls(
            source=fields.source,
            url=_database_url(name, fields) if fields.source is SourceKind.DATABASE else None,
            table_prefix=fields.table_prefix,
            timeout=fields.timeout_ms / 1000,
            server_url=server_url.rstrip("/"),
            api_token=api_token,
            requests_in_flight=fields.requests_in_flight,
            recheck=timedelta(days=fields.recheck_days),
            api_client=fields.api_client,
            api_secret=fields.api_secret,
            report=fields.report,
            zone=fields.time_zone,
            days_of=fields.days_of,
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

    @property
    def database_url(self) -> URL:
        """Where the database is, for a connection that reads one."""
        if self.url is None:
            raise AssertionError(f"a connection that reads {self.source} has no database")
        return self.url

    def engine(self) -> Engine:
        """A new engine without a pool; connecting takes at most the timeout (PostgreSQL: 2 s or more).

        On MySQL and MariaDB, waiting for the next bytes of an answer is limited by the timeout as well.
        """
        if self.database_url.get_backend_name() == "mysql":
            arguments = dict.fromkeys(("connect_timeout", "read_timeout", "write_timeout"), self.timeout)
        else:
            arguments = {"connect_timeout": max(2, round(self.timeout))}
        return create_engine(self.database_url, connect_args=arguments, poolclass=NullPool, hide_parameters=True)


def _valid(name: str, extra: Mapping[str, Any]) -> Fields:
    given = {key: value for key, value in extra.items() if value not in (None, "")}
    if "table_prefix" in extra:
        given["table_prefix"] = extra["table_prefix"] or ""
    try:
        fields = Fields.model_validate(given)
    except ValidationError as error:
        raise ConfigurationInvalid(wrong_fields(name, error)) from error
    if fields.is_target:
        raise ConfigurationInvalid(
            f'{name} has "Is target" on, but nothing can be written to a Totara yet: turn it off.'
        )
    return fields


def _refuse_no_address(name: str, server_url: str) -> None:
    """Name what is wrong with the server URL; with what is in it only where that can be no secret."""
    if server_url and not server_url.startswith(("https://", "http://")):
        raise ConfigurationInvalid(
            f"{name} has the server URL {server_url!r}, which names no protocol: write it in "
            '"Server URL" as https://host.'
        )
    try:
        parts = urlsplit(server_url)
        is_one = not server_url or (bool(parts.hostname) and parts.port != 0 and server_url.isprintable())
        has_more = "@" in parts.netloc or bool(parts.query or parts.fragment) or " " in server_url
    except ValueError:
        is_one, has_more = False, False
    if not is_one or has_more:
        raise ConfigurationInvalid(
            f'{name} has a "Server URL" that is not just the address of a Totara: write it as https://host or '
            "https://host/folder, without user, password, spaces, ? and #, as Airflow shows it to whoever may look at "
            "Connections."
        )


def _refuse_without_its_address(name: str, fields: Fields, server_url: str, api_token: str) -> None:
    """Name what is missing of what the source is reached by."""
    by_http = fields.source in (SourceKind.WEB_SERVICES, SourceKind.REPORT_QUERY) or bool(fields.api_client)
    if by_http and not server_url:
        raise ConfigurationInvalid(
            f'{name} asks Totara over HTTP but has no "Server URL": fill it in, as https://learn.example.com.'
        )
    if by_http and server_url.startswith("http://") and not leads_here(server_url):
        raise ConfigurationInvalid(
            f'{name} would send its token or secret unencrypted: write its "Server URL" with https://.'
        )
    if fields.source is SourceKind.WEB_SERVICES and not api_token:
        raise ConfigurationInvalid(
            f'{name} reads through web services but has no "API token": have an administrator of Totara make one '
            "(Server > Web services > Manage tokens) and fill it in."
        )


def _database_url(name: str, fields: Fields) -> URL:
    """The address with driver and password.

    :raises ConfigurationInvalid: never with the address in the sentence, as it may hold a password.
    """
    if not fields.database_url:
        raise ConfigurationInvalid(
            f'{name} has no database URL: fill in "Database URL", as {_ADDRESS_SHAPE}, and the password in "Database '
            'password"; or, where the database may not be read, choose another "Source".'
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
