"""Each item once: the rules about what comes in a batch, comes again, or comes twice at the same moment."""

from collections.abc import Sequence

from totara_bridge.oracle.conformance.exchange import Exchange
from totara_bridge.oracle.conformance.probe import NotSeen, Probe, keys_of
from totara_bridge.oracle.conformance.rule import Broken
from totara_bridge.oracle.words import shorten

_AT_ONCE = 4


def each_has_one_result(probe: Probe) -> None:
    """Post three items."""
    items = [probe.item() for _ in range(3)]
    exchange = probe.send(*items)
    keys = [result.get("idempotencyKey") for result in exchange.results or []]
    once = exchange.results is None or sorted(map(str, keys)) == sorted(keys_of(items))
    if not (exchange.taken and once):
        raise Broken("one result stored for each of the three keys, or a 2xx without results", exchange)


def same_request_again(probe: Probe) -> None:
    """Post two items, and the same again."""
    items = [probe.item(), probe.item()]
    _stored_once(keys_of(items), [probe.send(*items), probe.send(*items)])


def same_item_elsewhere(probe: Probe) -> None:
    """Post an item, and the same in another batch."""
    item = probe.item()
    _stored_once(keys_of([item]), [probe.send(item), probe.send(probe.item(), item)])


def same_request_at_once(probe: Probe) -> str:
    """Post the same batch several times at the same moment, and once more when all are answered."""
    items = [probe.item(), probe.item()]
    exchanges = probe.send_at_once(_AT_ONCE, *items)
    waiting = [exchange for exchange in exchanges if exchange.status == 409]
    taken = [exchange for exchange in exchanges if exchange.status != 409]
    if not taken:
        raise Broken("one request that is taken, and 409 for the others", waiting[0])
    _stored_once(keys_of(items), [*taken, probe.send(*items)])
    return f"{len(waiting)} of {_AT_ONCE} were answered with 409; one moment without a double proves no lock"


def _stored_once(keys: Sequence[str], exchanges: Sequence[Exchange]) -> None:
    for exchange in exchanges:
        if not exchange.taken:
            raise Broken("2xx, empty or with the result stored or duplicate for each item", exchange)
    if any(exchange.results is None for exchange in exchanges):
        raise NotSeen(f"it was taken again, but no results say what was stored: look that you have {keys[0]} once")
    for key in keys:
        results = [result for exchange in exchanges for result in exchange.of_key(key)]
        stored = [result for result in results if str(result.get("status")).lower() == "stored"]
        references = {shorten(result.get("reference")) for result in results} - {None}
        unnamed = any(shorten(result.get("reference")) is None for result in stored)
        if len(references) > 1 or (len(stored) > 1 and unnamed):
            told = "; then ".join(map(str, exchanges))
            raise Broken("duplicate the second time, or stored with the reference of the first time", told)
