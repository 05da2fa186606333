"""What cannot be stored: the rules about bad items, and about bodies that are no batch."""

from totara_bridge.oracle.conformance.exchange import Exchange
from totara_bridge.oracle.conformance.probe import Item, NotSeen, Probe
from totara_bridge.oracle.conformance.rule import Broken
from totara_bridge.oracle.verdict import Outcome


def bad_item_among_good(probe: Probe) -> str | None:
    """Post a bad item between two good ones; where all are refused, the bad one alone and the good ones alone."""
    good, bad = [probe.item(), probe.item()], _bad(probe)
    exchange = probe.send(good[0], bad, good[1])
    if not exchange.refused_whole:
        if not (_rejected(exchange, bad) and len(exchange.reading.having(Outcome.SENT)) == len(good)):
            raise Broken("rejected for the bad item and stored for the two good ones, or 400 or 422", exchange)
        return None
    if not _rejected(alone := probe.send(bad), bad):
        raise Broken("400 or 422 for the bad item alone", alone)
    if not (rest := probe.send(*good)).taken:
        raise Broken("2xx for the good items without the bad one", rest)
    return "the whole batch was refused, and the good items taken without the bad one"


def refusal_says_why(probe: Probe) -> None:
    """Post a bad item, and read the words."""
    exchange, bad = _refusal(probe)
    verdict = exchange.reading.verdicts[bad["idempotencyKey"]]
    if not (verdict.code or verdict.words):
        raise Broken("an error with a code or a message", exchange)


def refusal_repeats_nobody(probe: Probe) -> None:
    """Post a bad item, and look for the learner in the answer."""
    exchange, _ = _refusal(probe)
    if probe.learner.encode() in exchange.body.lower():
        raise Broken("no user name, address or name of the learner in the answer", exchange)


def broken_json(probe: Probe) -> None:
    """Post a body that ends in its middle."""
    exchange = probe.send_text(b'{"items":[{"idempotencyKey":"')
    if exchange.status not in (400, 422):
        raise Broken("400 or 422", exchange)


def empty_batch(probe: Probe) -> None:
    """Post no items."""
    exchange = probe.send()
    status = exchange.status or 0
    if not (200 <= status < 300 or status in (400, 422)):
        raise Broken("2xx, 400 or 422", exchange)


def _bad(probe: Probe) -> Item:
    item = probe.item(courseId=-1)
    del item["userId"]
    return item


def _refusal(probe: Probe) -> tuple[Exchange, Item]:
    bad = _bad(probe)
    exchange = probe.send(bad)
    if not _rejected(exchange, bad):
        raise NotSeen(f"a bad item was not refused, it was answered with {exchange}")
    return exchange, bad


def _rejected(exchange: Exchange, item: Item) -> bool:
    return exchange.reading.verdicts[item["idempotencyKey"]].outcome is Outcome.DEAD
