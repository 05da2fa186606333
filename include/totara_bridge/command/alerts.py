"""``alerts``: which promises are broken now, and which were mended last."""

import argparse
from collections.abc import Iterator
from datetime import UTC, datetime

from totara_bridge.printable import visible
from totara_bridge.staging import alert
from totara_bridge.staging.alert import Alert
from totara_bridge.staging.database import staging


def register(subcommands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``alerts``."""
    parser = subcommands.add_parser(
        "alerts",
        help="which alerts are open, and which were resolved last, times in UTC",
        description="The run book, docs/operations.md, has a heading for each name.",
    )
    parser.add_argument("--resolved", type=int, default=5, help="how many of those that were resolved (%(default)s)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print them."""
    with staging(connections=1) as engine, engine.connect() as transaction:
        found = alert.open_alerts(transaction)
        over = alert.last_resolved(transaction, limit=max(0, arguments.resolved))
    if not found:
        print("No alert is open.")
    for each in (*found, *over):
        print(visible("\n".join(_lines(each))))
    return 0


def _lines(found: Alert) -> Iterator[str]:
    until = "open" if found.resolved_at is None else f"resolved {_time(found.resolved_at)}"
    yield f"{found.name}  {found.subject}: raised {_time(found.raised_at)}, {until}"
    yield f"  {found.words}"


def _time(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M}"
