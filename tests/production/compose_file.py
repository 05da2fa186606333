"""docker-compose.yaml as Docker Compose reads it, as far as running its services by hand needs."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

PROJECT = Path(__file__).parents[2]
FILE = PROJECT / "docker-compose.yaml"

#: ``$$``, ``${NAME}``, ``${NAME:-default}`` and ``${NAME:?what to do}``.
_VARIABLE = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<name>\w+)(?::(?P<how>[-?])(?P<otherwise>[^}]*))?\})")


@dataclass(frozen=True)
class Service:
    """What a service runs, and with which environment."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    health: tuple[str, ...]  #: the command of its health check
    grace: float = 10.0  #: seconds that it is given to stop; where the file says nothing, Docker gives so many


def read(variables: Mapping[str, str], file: Path = FILE) -> dict[str, Service]:
    """Its services by name.

    :param variables: of .env and of the shell.
    :raises KeyError: a variable that must be given is not, or is empty: its name, and what the file says of that.
    """
    described = _interpolated(yaml.safe_load(file.read_text()), variables)
    return {name: _service(each) for name, each in described["services"].items()}


def dotenv(file: Path) -> dict[str, str]:
    """The variables of a .env."""
    lines = [line for line in file.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def _service(described: Mapping[str, Any]) -> Service:
    check = described.get("healthcheck", {}).get("test", [""])
    command = check[1:] if check[0] == "CMD" else ("sh", "-c", check[1]) if check[0] == "CMD-SHELL" else ()
    environment = {name: str(value) for name, value in described.get("environment", {}).items()}
    grace = _seconds(described.get("stop_grace_period", "10s"))
    return Service(tuple(described["command"]), environment, tuple(command), grace)


def _seconds(written: str) -> float:
    """Of ``2m`` or ``45s``."""
    return float(written[:-1]) * {"s": 1, "m": 60}[written[-1]]


def _interpolated(value: Any, variables: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {name: _interpolated(each, variables) for name, each in value.items()}
    if isinstance(value, list):
        return [_interpolated(each, variables) for each in value]
    return _VARIABLE.sub(lambda found: _value(found, variables), value) if isinstance(value, str) else value


def _value(found: re.Match[str], variables: Mapping[str, str]) -> str:
    if found["dollar"]:
        return "$"
    given = variables.get(found["name"], "")
    if found["how"] == "?" and not given:
        raise KeyError(f"{found['name']}: {found['otherwise']}")
    return given or (found["otherwise"] or "" if found["how"] == "-" else "")
