"""``item``: what a person does to single items, by their numbers in the export queue."""

import argparse
from collections.abc import Callable
from datetime import UTC, datetime

from totara_bridge.command.maintainer import maintainer
from totara_bridge.staging import by_hand
from totara_bridge.staging.by_hand import Done
from totara_bridge.staging.database import staging
from totara_bridge.staging.engine import Transaction

_REFUSED = 1


def register(subcommands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``item``."""
    parser = subcommands.add_parser(
        "item",
        help="requeue, cancel or resend items",
        description="What each verb does, and to which items, is in docs/mappings.md.",
    )
    parser.add_argument("verb", choices=_VERBS)
    parser.add_argument("ids", nargs="+", type=int, metavar="number", help="as `trace` shows it")
    parser.add_argument("--why", help="kept with who did it, in the trace of each item")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Do it to all of them in one transaction; 1 where the verb did not fit some."""
    with staging(connections=1) as engine, engine.begin() as transaction:
        done = _VERBS[arguments.verb](transaction, arguments)
    print(f"{arguments.verb}: {done.done} done, {done.refused} refused (look at their trace)")
    return _REFUSED if done.refused else 0


def _requeue(transaction: Transaction, asked: argparse.Namespace) -> Done:
    return by_hand.requeue(transaction, asked.ids, by=maintainer(), words=asked.why, now=datetime.now(UTC))


def _cancel(transaction: Transaction, asked: argparse.Namespace) -> Done:
    return by_hand.cancel(transaction, asked.ids, by=maintainer(), words=asked.why, now=datetime.now(UTC))


def _resend(transaction: Transaction, asked: argparse.Namespace) -> Done:
    return by_hand.resend(transaction, asked.ids, by=maintainer(), now=datetime.now(UTC))


_VERBS: dict[str, Callable[[Transaction, argparse.Namespace], Done]] = {
    "requeue": _requeue,
    "cancel": _cancel,
    "resend": _resend,
}
