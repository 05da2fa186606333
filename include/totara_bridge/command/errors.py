"""``errors``: why items are failed or dead, by kind of error; the most frequent first."""

import argparse
from collections.abc import Iterator
from datetime import UTC
from typing import Any

from sqlalchemy import Row

from totara_bridge.config import read_config
from totara_bridge.printable import visible
from totara_bridge.staging.database import staging
from totara_bridge.staging.error_group import error_groups

_NONE = 1


def register(subcommands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``errors``."""
    parser = subcommands.add_parser(
        "errors",
        help="why items are failed or dead, by kind of error, times in UTC",
        description="Items whose errors differ in numbers only are of one kind. The DAG requeue_completions takes its "
        "fingerprint, to requeue or cancel them.",
    )
    parser.add_argument("--destination", metavar="CODE", help="only this one of bridge.toml; without it: all")
    parser.add_argument("--limit", type=int, default=20, help="how many kinds (%(default)s)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print them; 1 where no item is failed or dead.

    :raises ConfigurationInvalid: bridge.toml has no such destination.
    """
    code = arguments.destination
    destinations = () if code is None else (read_config().destination(code).code,)
    with staging(connections=1) as engine, engine.connect() as transaction:
        found = error_groups(transaction, destinations=destinations)
    if not found:
        print("No item is failed or dead.")
        return _NONE
    shown = found[: max(1, arguments.limit)]
    print(visible("\n\n".join("\n".join(_lines(each)) for each in shown)))
    if rest := found[len(shown) :]:
        print(f"\n{sum(each.dead + each.failed for each in rest)} more items, of {len(rest)} kinds")
    return 0


def _lines(group: Row[Any]) -> Iterator[str]:
    first, last = (f"{at.astimezone(UTC):%Y-%m-%d %H:%M}" for at in (group.first_at, group.last_at))
    yield (
        f"{group.fingerprint}  {group.destination}: {group.dead} dead, {group.failed} failed, "
        f"the first at {first}, the last at {last}"
    )
    yield "  " + " ".join(word for word in (group.error_class, group.error_code, group.error_words) if word)
