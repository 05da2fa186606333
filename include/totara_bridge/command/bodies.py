"""``bodies``: the newest requests whose bodies are kept, with what was answered; without what names a learner."""

import argparse
from collections.abc import Iterator
from datetime import UTC
from typing import Any

from sqlalchemy import Row

from totara_bridge.config import read_config
from totara_bridge.printable import visible
from totara_bridge.staging import body
from totara_bridge.staging.database import staging

_NOTHING = 1


def register(subcommands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``bodies``."""
    parser = subcommands.add_parser("bodies", help="what was sent last, or shown in shadow mode, and what was answered")
    parser.add_argument("--destination", required=True, help="its code in bridge.toml")
    parser.add_argument("--limit", type=int, default=3, help="how many requests (%(default)s)")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print them, the newest first; 1 where none is kept."""
    code = read_config().destination(arguments.destination).code
    with staging(connections=1) as engine, engine.connect() as transaction:
        kept = body.newest(transaction, destination=code, limit=max(1, arguments.limit))
    if not kept:
        print(f"No body of {code} is kept: the setting keep_bodies decides, and in shadow mode all are.")
        return _NOTHING
    print(visible("\n\n".join("\n".join(_lines(each)) for each in kept)))
    return 0


def _lines(kept: Row[Any]) -> Iterator[str]:
    answered = "not sent" if kept.http_status is None else f"HTTP {kept.http_status}"
    yield f"request {kept.export_log_id}, {kept.at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC: {kept.outcome}, {answered}"
    yield kept.request
    if kept.answer is not None:
        yield f"answer: {kept.answer}"
