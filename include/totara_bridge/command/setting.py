"""``setting``: a manager's switches as they are, or one of them set."""

import argparse
import json
from datetime import UTC, datetime

from totara_bridge.command.maintainer import maintainer
from totara_bridge.config import read_config
from totara_bridge.settings import Settings
from totara_bridge.staging import setting
from totara_bridge.staging.database import staging
from totara_bridge.staging.engine import Transaction


def register(subcommands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``setting``."""
    parser = subcommands.add_parser(
        "setting",
        help="show a destination's settings, or set one of them",
        description="Shows the settings of a destination, or those for all; with a name and a value it sets one.",
    )
    parser.add_argument("--destination", help="its code; without it: the settings that hold for all")
    parser.add_argument("name", nargs="?", choices=sorted(Settings.model_fields), metavar="name")
    parser.add_argument("value", nargs="?", help="as JSON (true, 100, null) or as a word; null: as if never set")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Set what was asked for, and print what holds now."""
    scope = setting.EVERYWHERE
    if arguments.destination is not None:
        scope = read_config().destination(arguments.destination).code
    with staging(connections=1) as engine, engine.begin() as transaction:
        _set(transaction, scope, arguments)
        settings = setting.read(transaction, scope)
    for name, value in settings.model_dump(mode="json").items():
        if arguments.name in (None, name):
            print(f"{name} = {json.dumps(value)}")
    return 0


def _set(transaction: Transaction, scope: str, arguments: argparse.Namespace) -> None:
    if arguments.value is None:
        return
    value, by, now = _value(arguments.value), maintainer(), datetime.now(UTC)
    if value is None:
        setting.forget(transaction, scope=scope, name=arguments.name, by=by, now=now)
    else:
        setting.write(transaction, scope=scope, name=arguments.name, value=value, by=by, now=now)


def _value(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text
