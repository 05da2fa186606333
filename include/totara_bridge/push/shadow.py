"""Shadow mode: what a drain would send is shown in the log, each item once, and nothing is sent or changed."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime
from uuid import uuid4

from sqlalchemy import Engine

from totara_bridge.errors import OracleRefused, OracleUnavailable
from totara_bridge.push.bodies import Bodies
from totara_bridge.push.packing import Packed, Packing
from totara_bridge.push.plan import Drained, DrainPlan, Sends
from totara_bridge.push.settle import too_large_words
from totara_bridge.staging import body, destination, lease
from totara_bridge.staging.destination import Request
from totara_bridge.staging.engine import Transaction

OUTCOME = "shadow"


def show(
    engine: Engine,
    new_sender: Callable[[], AbstractContextManager[Sends]],
    plan: DrainPlan,
    bodies: Bodies,
    *,
    clock: Callable[[], datetime],
    stop: threading.Event,
) -> Drained:
    """Show what is due. A batch is one transaction: a drain that is killed leaves nothing behind.

    :raises OracleRefused: there is no token to send it with.
    :raises OracleUnavailable: there is none now.
    """
    drained, ends_at = Drained(), clock() + plan.time_box
    with new_sender() as sender:
        while not stop.is_set() and clock() < ends_at:
            _check_token(sender, plan)
            drained.let_in = True
            with engine.begin() as transaction:
                items = lease.show(
                    transaction, destination=plan.destination, limit=plan.settings.batch_size, now=clock()
                )
                requests = _Shown(transaction, plan, bodies, clock()).requests(items)
            if not items:
                break
            drained.shown(items=len(items), requests=requests)
    return drained


def _check_token(sender: Sends, plan: DrainPlan) -> None:
    try:
        sender.get_ready()
    except (OracleRefused, OracleUnavailable) as error:
        raise type(error)(f"The destination {plan.destination} cannot be used: {error}") from error


class _Shown:
    """The requests of one batch, written down instead of sent."""

    def __init__(self, transaction: Transaction, plan: DrainPlan, bodies: Bodies, now: datetime) -> None:
        self._transaction = transaction
        self._plan = plan
        self._bodies = bodies
        self._now = now
        self._batch = uuid4()

    def requests(self, items: Packed) -> int:
        """Write down each request that these items would be sent in; how many."""
        packing = Packing(request_bytes=self._plan.settings.request_bytes, items=self._plan.template.items)
        requests = list(packing.requests(items))
        for request in requests:
            log_id = self._log(len(request))
            shown = self._bodies.shown([item.payload for item in request])
            body.keep(self._transaction, shown, log_id=log_id, destination=self._plan.destination, at=self._now)
        for item in packing.too_large(items):
            self._log(1, error=too_large_words(packing.size(item), self._plan.settings))
        return len(requests)

    def _log(self, items: int, *, error: str | None = None) -> int:
        return destination.log_request(
            self._transaction,
            Request(
                batch=self._batch,
                destination=self._plan.destination,
                at=self._now,
                duration_ms=0,
                items=items,
                http_status=None,
                outcome=OUTCOME,
                error=error,
                request_id=None,
            ),
        )
