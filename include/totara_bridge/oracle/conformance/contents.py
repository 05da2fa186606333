"""What may stand in an item and around it: the rules about fields, texts, kinds and size."""

from typing import Any

from totara_bridge.oracle.conformance.exchange import Exchange
from totara_bridge.oracle.conformance.probe import Item, NotSeen, Probe
from totara_bridge.oracle.conformance.rule import Broken
from totara_bridge.oracle.verdict import Outcome

_TAKEN = "2xx, empty or with the result stored"


def unknown_fields(probe: Probe) -> None:
    """Post an item with fields that the contract does not have."""
    item = probe.item(addedLater={"by": ["a", "template"]})
    item["user"]["addedLater"] = 1
    _taken(probe.send(item))


def null_texts(probe: Probe) -> None:
    """Post an item that has nothing but what identifies its learner and its course."""
    item = probe.item(progress=None)
    item["user"] |= dict.fromkeys(("email", "firstname", "lastname"))
    item["course"] |= dict.fromkeys(("shortname", "fullname"))
    _taken(probe.send(item))


def any_language(probe: Probe) -> None:
    """Post an item with macrons, other scripts, emoji, and everything that quoting gets wrong."""
    item = probe.item()
    item["user"] |= {"firstname": "Māia “Zoë”", "lastname": "O'Łukasz-漢字 🎓"}
    item["course"]["fullname"] = 'Āhuatanga: "Fire" & <b>safety</b> \\ 100 %\nPart 2; --'
    _taken(probe.send(item))


def corrections_and_withdrawals(probe: Probe) -> str | None:
    """Post a completion, then its correction and its withdrawal, each beside another completion."""
    completion = probe.item()
    _taken(probe.send(completion))
    correction = _amendment(probe, completion, kind="correction", revision=2, progress=99)
    lost = {"status": "in_progress", "progress": 50, "timecompleted": None}
    withdrawal = _amendment(probe, completion, kind="withdrawal", revision=3, **lost)
    rejected = [item["kind"] for item in (correction, withdrawal) if _rejected_beside_another(probe, item)]
    return f"rejected: {', '.join(rejected)}; leave that off in the bridge" if rejected else None


def full_batch(probe: Probe) -> str | None:
    """Post as many items as a batch may have."""
    exchange = probe.send(*(probe.item() for _ in range(probe.full_batch)))
    if exchange.status == 413:
        return f"{probe.full_batch} items were answered with 413: the bridge would halve each such batch"
    if not exchange.taken:
        raise Broken(f"2xx for all {probe.full_batch} items, or 413", exchange)
    return None


def packed_body(probe: Probe) -> None:
    """Post an item in a gzip body."""
    if not probe.gzip:
        raise NotSeen("it matters only where gzip is agreed on (--gzip)")
    _taken(probe.send(probe.item(), packed=True))


def _amendment(probe: Probe, completion: Item, **changes: Any) -> Item:
    return completion | {"idempotencyKey": probe.key()} | changes


def _rejected_beside_another(probe: Probe, amendment: Item) -> bool:
    other = probe.item()
    exchange = probe.send(other, amendment)
    verdicts = exchange.reading.verdicts
    became = verdicts[amendment["idempotencyKey"]].outcome
    if verdicts[other["idempotencyKey"]].outcome is not Outcome.SENT or became not in (Outcome.SENT, Outcome.DEAD):
        kind = amendment["kind"]
        raise Broken(f"stored or rejected for the {kind}, and stored for the completion beside it", exchange)
    return became is Outcome.DEAD


def _taken(exchange: Exchange) -> None:
    if not exchange.taken:
        raise Broken(_TAKEN, exchange)
