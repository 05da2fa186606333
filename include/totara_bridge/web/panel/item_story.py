"""The story of one item: what it is and says, all that happened to it, why it was not sent, how to send it by hand."""

import shlex
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from totara_bridge.config import BridgeConfig
from totara_bridge.errors import ConfigurationInvalid
from totara_bridge.oracle.payload import body, idempotency_key
from totara_bridge.orchestration.described import described
from totara_bridge.staging import item_row, trace
from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.why_not import Pair
from totara_bridge.why_not import answers_for


def story(transaction: Transaction, config: BridgeConfig, item_id: int, *, now: datetime) -> dict[str, Any] | None:
    """All that there is of the item; none: it is not there."""
    item = item_row.item(transaction, item_id)
    traced = trace.trace(transaction, item_id=item_id)
    if item is None or traced is None:
        return None
    return {
        "item": dict(item._mapping),
        "entries": [asdict(entry) for entry in traced.entries],
        "why": _why(transaction, config, item, now),
        "curl": _curl(config, item),
    }


def _why(transaction: Transaction, config: BridgeConfig, item: Row[Any], now: datetime) -> str:
    """Why its completion was, or was not, sent: a sentence."""
    try:
        config.site(item.site)
        destination = config.destination(item.destination)
        pair = Pair(item.site, item.user_id, item.course_id)
        answers = answers_for(transaction, pair, [destination], now)
    except ConfigurationInvalid as error:  # such as a destination that was taken out
        return str(error)
    own = [each.sentence for each in answers if each.record_key in (item.record_key, None)]
    return own[0]


def _curl(config: BridgeConfig, item: Row[Any]) -> Mapping[str, str | None]:
    """What sends the item alone, as a drain would send it, by hand; else the sentence why there is no such thing."""
    if item.payload == "":
        return {"text": None, "sentence": "Its learner was erased, and its payload with them: it cannot be sent."}
    try:
        destination = config.destination(item.destination)
        items = config.template(destination.template).items
    except ConfigurationInvalid as error:
        return {"text": None, "sentence": str(error)}
    connection = described(destination.connection)
    if not connection.get("base_url") or not connection.get("path"):
        told = connection["wrong"] or f"The connection {destination.connection} does not say where to send it."
        return {"text": None, "sentence": told}
    sent = body([item.payload], items)
    lines = [
        f"curl --request POST {shlex.quote(connection['base_url'].rstrip('/') + connection['path'])}",
        '--header "Authorization: Bearer $TOKEN"',
        "--header 'Content-Type: application/json'",
        "--header 'Accept: application/json'",
        f"--header 'Idempotency-Key: {idempotency_key(sent)}'",
        f"--data-raw {shlex.quote(sent.decode())}",
    ]
    return {"text": " \\\n  ".join(lines), "sentence": None}
