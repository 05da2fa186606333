"""How every answer looks: the rules that are read off all exchanges of the run, when it is over."""

from totara_bridge.oracle.conformance.exchange import Exchange
from totara_bridge.oracle.conformance.probe import NotSeen, Probe
from totara_bridge.oracle.conformance.rule import Broken


def in_time(probe: Probe) -> None:
    """Every request was answered."""
    _raise_unless_posted(probe)
    if silent := [exchange for exchange in probe.exchanges if exchange.status is None]:
        expected = f"an answer to each request within {probe.access.timeout:g} s"
        raise Broken(expected, f"{len(silent)} of {len(probe.exchanges)} had {silent[0]}")


def no_redirect(probe: Probe) -> None:
    """No answer sends the bridge elsewhere."""
    _raise_unless_posted(probe)
    for exchange in probe.exchanges:
        if 300 <= (exchange.status or 0) < 400:
            raise Broken("no 3xx", exchange)


def json_that_says_so(probe: Probe) -> None:
    """What was said to a batch is JSON by its header and in truth."""
    _raise_unless_posted(probe)
    for exchange in probe.exchanges:
        if not (_took(exchange) or exchange.status in (400, 422)) or not exchange.body.strip():
            continue
        if "json" not in exchange.content_type:
            raise Broken("Content-Type: application/json", f"{exchange}, {exchange.content_type or 'without a type'}")
        if exchange.document is None:
            raise Broken("JSON", exchange)


def connection_stays_open(probe: Probe) -> None:
    """Where items were taken, the answer lets the connection be used again."""
    for exchange in probe.exchanges:
        if _took(exchange) and not exchange.stays_open:
            raise Broken("HTTP/1.1 without Connection: close", "an answer after which the connection is closed")


def request_has_a_name(probe: Probe) -> None:
    """Where items were taken, the answer names the request."""
    for exchange in probe.exchanges:
        if _took(exchange) and exchange.reading.request_id is None:
            raise Broken("a request id in the header of each answer", "an answer without one")


def _raise_unless_posted(probe: Probe) -> None:
    if not probe.exchanges:
        raise NotSeen("nothing was posted")


def _took(exchange: Exchange) -> bool:
    return 200 <= (exchange.status or 0) < 300
