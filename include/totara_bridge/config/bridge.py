"""bridge.toml as a whole, with the environment over it, and the environment's own part: where staging is."""

import os
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self, TypeVar
from zoneinfo import ZoneInfo

from pydantic import ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from totara_bridge.config.schedule import Zone, next_tick
from totara_bridge.config.section import Destination, Extract, Purge, Push, Reconcile, Site, Watch
from totara_bridge.errors import ConfigurationInvalid
from totara_bridge.template import DEFAULT, Template

_BESIDE_THE_PACKAGE = Path(__file__).parents[3] / "bridge.toml"


class BridgeConfig(BaseSettings):
    """bridge.toml, overridden by the environment (prefix ``TOTARA_BRIDGE_``, nested with ``__``)."""

    model_config = SettingsConfigDict(
        env_prefix="TOTARA_BRIDGE_", env_nested_delimiter="__", frozen=True, extra="forbid"
    )

    timezone: Zone = ZoneInfo("UTC")
    """Whose wall clock all schedules, and the time of the full compare, are of."""

    extract: Extract = Extract()
    push: Push = Push()
    purge: Purge = Purge()
    watch: Watch = Watch()
    reconcile: Reconcile = Reconcile()
    sites: tuple[Site, ...] = ()
    destinations: tuple[Destination, ...] = ()
    templates: dict[str, Template] = {}

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment first, then the file."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=config_file())

    def site(self, code: str) -> Site:
        """The site with this code.

        :raises ConfigurationInvalid: there is none.
        """
        return _named("site", code, self.sites)

    def destination(self, code: str) -> Destination:
        """The destination with this code.

        :raises ConfigurationInvalid: there is none.
        """
        return _named("destination", code, self.destinations)

    def require(self, *, sites: Collection[str] | None = None, destinations: Collection[str] | None = None) -> None:
        """Refuse codes that are not here, as a person may have typed them.

        :raises ConfigurationInvalid: names the first.
        """
        for code in destinations or ():
            self.destination(code)
        for code in sites or ():
            self.site(code)

    def template(self, name: str) -> Template:
        """The payload template with this name; ``default`` is built in.

        :raises ConfigurationInvalid: there is none.
        """
        if name == DEFAULT.name:
            return DEFAULT
        if name not in self.templates:
            raise ConfigurationInvalid(f"There is no template {name} in bridge.toml: correct the name.")
        return self.templates[name]

    def next_turn(self, code: str, last: datetime) -> datetime:
        """When a run reads the site with this code again, if it was last read at ``last`` and nobody asks for it."""
        turn = self.site(code).next_turn(last, self.timezone)
        return next_tick(self.extract.schedule, self.timezone, max(last, turn - timedelta(seconds=1)))

    @field_validator("templates", mode="before")
    @classmethod
    def _named_by_their_tables(cls, given: object) -> object:
        if not isinstance(given, dict):
            return given
        if DEFAULT.name in given:
            raise ValueError(f"{DEFAULT.name} is built in and cannot be changed: give your template another name")
        if any(isinstance(each, dict) and "name" in each for each in given.values()):
            raise ValueError("a template is named by its table, as in [templates.fusion]: leave name out")
        return {name: each | {"name": name} if isinstance(each, dict) else each for name, each in given.items()}

    @model_validator(mode="after")
    def _codes_are_unique_and_routes_known(self) -> Self:
        codes = [site.code for site in self.sites]
        for kind, found in (("site", codes), ("destination", [each.code for each in self.destinations])):
            if twice := {code for code in found if found.count(code) > 1}:
                raise ValueError(f"{kind} code {', '.join(sorted(twice))} is given twice")
        if both := set(codes) & {each.code for each in self.destinations}:
            raise ValueError(
                f"the code {', '.join(sorted(both))} is given to a site and to a destination: alerts could not tell "
                "them apart, so rename one"
            )
        for destination in self.destinations:
            if unknown := set(destination.route.sites) - set(codes):
                raise ValueError(
                    f"the route of destination {destination.code} names the site {', '.join(sorted(unknown))}, "
                    "which [[sites]] does not have"
                )
            if destination.template not in {DEFAULT.name, *self.templates}:
                raise ValueError(
                    f"destination {destination.code} names the template {destination.template}, which [templates] "
                    f"does not have: write [templates.{destination.template}], or leave it out for the default"
                )
        return self


_Entry = TypeVar("_Entry", Site, Destination)


def _named(kind: str, code: str, entries: Sequence[_Entry]) -> _Entry:
    for entry in entries:
        if entry.code == code:
            return entry
    known = ", ".join(entry.code for entry in entries) or "none"
    raise ConfigurationInvalid(f"There is no {kind} {code} in bridge.toml (it has {known}): correct the code.")


def config_file() -> Path:
    """The file that is read: ``TOTARA_BRIDGE_CONFIG``, or bridge.toml beside the package."""
    return Path(os.environ.get("TOTARA_BRIDGE_CONFIG") or _BESIDE_THE_PACKAGE)


def read_config() -> BridgeConfig:
    """The configuration as it is now.

    :raises ConfigurationInvalid: the file is missing or says something that cannot be; names each place.
    """
    file = config_file()
    if not file.is_file():
        raise ConfigurationInvalid(
            f"There is no configuration file {file}: create it (bridge.toml of the repository shows how) "
            "or name another in TOTARA_BRIDGE_CONFIG."
        )
    try:
        return BridgeConfig()
    except ValidationError as error:
        places = "; ".join(map(_fault, error.errors(include_input=False, include_url=False)))
        raise ConfigurationInvalid(f"{file.name} (or the environment over it) is not valid: {places}.") from error
    except SettingsError as error:
        raise ConfigurationInvalid(
            f"An environment variable over {file.name} is not valid: {error}. A list or a table is written as JSON."
        ) from error
    except OSError as error:
        raise ConfigurationInvalid(
            f"{file} cannot be read ({error.strerror}): let the user that runs this read it."
        ) from error
    except ValueError as error:  # not TOML
        raise ConfigurationInvalid(f"{file.name} is not valid TOML: {error}.") from error


def _fault(error: ErrorDetails) -> str:
    """The place and what is wrong there; a check of our own is told in its words alone."""
    place = ".".join(str(part) for part in error["loc"])
    words = error["msg"].removeprefix("Value error, ")
    return f"{place}: {words}" if place else words


def database_url() -> str:
    """Where staging is: ``TOTARA_BRIDGE_DATABASE_URL``.

    :raises ConfigurationInvalid: it is not set, or is no PostgreSQL address.
    """
    url = os.environ.get("TOTARA_BRIDGE_DATABASE_URL", "")
    if not url:
        raise ConfigurationInvalid(
            "TOTARA_BRIDGE_DATABASE_URL is not set: set it to the staging database's address, "
            "postgresql://user:password@host/database, in the environment of every Airflow process."
        )
    scheme, _, rest = url.partition("://")
    if scheme not in {"postgresql", "postgres", "postgresql+psycopg"}:
        raise ConfigurationInvalid(
            "TOTARA_BRIDGE_DATABASE_URL does not begin with postgresql://, but staging needs PostgreSQL 15 or later: "
            "write postgresql://user:password@host/database."
        )
    return f"postgresql+psycopg://{rest}"
