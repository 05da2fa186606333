"""``trace``: everything that ever happened to one item, to be read from top to bottom."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC

from totara_bridge.printable import visible
from totara_bridge.staging import trace as staged
from totara_bridge.staging.database import staging
from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.trace import Entry, RequestMade, Trace

_UNKNOWN = 2


def register(subcommands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``trace``."""
    parser = subcommands.add_parser("trace", help="what happened to one item, oldest first, times in UTC")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--item", type=int, metavar="NUMBER", help="the item's number in the export queue")
    which.add_argument("--key", metavar="TB…", help="a record key (all items of the completion) or an idempotency key")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the traces that were asked for; 2 where there is no such item."""
    with staging(connections=1) as engine, engine.connect() as transaction:
        traces = _found(transaction, arguments)
    if not traces:
        asked = f"with the key {arguments.key}" if arguments.key else f"number {arguments.item}"
        sentence = f"There is no item {asked} in the export queue: correct it, unless the item was purged."
        print(visible(sentence), file=sys.stderr)
        return _UNKNOWN
    print(visible("\n\n".join("\n".join(_lines(each)) for each in traces)))
    return 0


def _found(transaction: Transaction, arguments: argparse.Namespace) -> Sequence[Trace]:
    ids = staged.items_of(transaction, arguments.key) if arguments.key else [arguments.item]
    found = (staged.trace(transaction, item_id=each) for each in ids)
    return [each for each in found if each is not None]


def _lines(found: Trace) -> Iterator[str]:
    state = f"held for {found.held_for}" if found.held_for else found.state
    yield (
        f"Item {found.item_id} is {state}: {found.kind}, revision {found.revision}, to {found.destination}, of "
        f"the completion {found.record_key} (site {found.site}, user {found.user_id}, course {found.course_id}), "
        f"made with the template {found.template}"
    )
    if found.idempotency_key != found.record_key:
        yield f"  idempotency key {found.idempotency_key}"
    for entry in found.entries:
        yield f"  {_entry(entry)}"
        if entry.request is not None:
            yield f"      {_request(entry.request)}"


def _entry(entry: Entry) -> str:
    said = f": {entry.words}" if entry.words else ""
    return f"{entry.at.astimezone(UTC):%Y-%m-%d %H:%M:%S}  {entry.what} by {entry.actor}{said}"


def _request(request: RequestMade) -> str:
    answer = "no answer" if request.http_status is None else f"HTTP {request.http_status}"
    parts = [
        f"request {request.id} at {request.at.astimezone(UTC):%H:%M:%S} with {request.items} items: {answer} after "
        f"{request.duration_ms} ms, {request.outcome}",
        f"said {request.error}" if request.error else "",
        f"the destination calls it {request.request_id}" if request.request_id else "",
        "its body is kept" if request.body_kept else "",
    ]
    return "; ".join(part for part in parts if part)
