"""What a thread does with one claim: it is packed into requests, each is sent in its turn, and settled."""

from collections import deque
from collections.abc import Sequence
from uuid import UUID, uuid4

from totara_bridge.oracle.verdict import Outcome
from totara_bridge.push.keeper import Kept, LeaseKeeper
from totara_bridge.push.packing import Packed
from totara_bridge.push.plan import Sends
from totara_bridge.push.run import Run
from totara_bridge.push.settle import Posted, bury
from totara_bridge.staging import completion, lease


class Batches:
    """One thread's claims, one after the other."""

    def __init__(self, run: Run, sender: Sends, keeper: LeaseKeeper) -> None:
        """Nothing is claimed yet."""
        self._run = run
        self._sender = sender
        self._keeper = keeper

    def send_next(self) -> bool:
        """Claim a batch and send it; whether there may be another."""
        run, token, now = self._run, uuid4(), self._run.clock()
        until = now + run.plan.lease
        with run.engine.begin() as transaction:
            items = lease.claim(
                transaction,
                destination=run.plan.destination,
                token=token,
                limit=run.plan.settings.batch_size,
                now=now,
                lease_until=until,
            )
        if not items:
            return run.rested(since=now)
        if items[0].rate is not None:
            run.pace.has_rate()
        with self._keeper.keeping(token, until=until) as kept:
            return self._send(items, kept)

    def _send(self, items: Packed, kept: Kept) -> bool:
        """Send what was claimed, and return what is left over; whether to claim again."""
        run = self._run
        waiting = deque(run.packing.requests(items))
        try:
            if too_large := run.packing.too_large(items):
                self._bury(too_large, kept.token)
            while waiting and not run.over() and not run.resting():
                with run.open:
                    if not run.turn():
                        return run.resting()
                    if not kept.for_another(run.plan.request_timeout):
                        break
                    posted = self._post(waiting.popleft(), kept.token)
                waiting.extendleft(self._settle(posted))
            return True
        finally:
            if waiting:
                self._return([item.id for request in waiting for item in request], kept.token)

    def _return(self, unposted: Sequence[int], token: UUID) -> None:
        with self._run.engine.begin() as transaction:
            # an extract that is changing these completions now sees them as on their way, or not at all
            completion.begin_merge(transaction)
            lease.release(transaction, token, ids=unposted, posted=False)

    def _bury(self, too_large: Packed, token: UUID) -> None:
        run = self._run
        sizes = {item.id: run.packing.size(item) for item in too_large}
        with run.engine.begin() as transaction:
            completion.begin_merge(transaction)
            dead = bury(transaction, token, sizes, run.plan.settings, now=run.clock())
        run.drained.buried(dead)

    def _post(self, items: Packed, token: UUID) -> Posted:
        """Send one request."""
        run, at, begun = self._run, self._run.clock(), self._run.pace.begin()
        payload_texts = [item.payload for item in items]
        answered = self._sender.send([item.idempotency_key for item in items], payload_texts)
        reading, body = run.bodies.told(payload_texts, answered)
        return Posted(
            destination=run.plan.destination,
            token=token,
            items=items,
            reading=reading,
            at=at,
            begun=begun,
            body=body,
            others_succeed=run.drained.sent > 0 or bool(reading.having(Outcome.SENT)),
        )

    def _settle(self, posted: Posted) -> Sequence[Packed]:
        """Write down what it came to; what must be sent again in smaller requests."""
        run, reading, items = self._run, posted.reading, posted.items
        if reading.isolated:
            run.refused_alone(posted)
            return ()
        settled = run.settle(posted)
        if settled.sent:
            run.stored()
        if reading.split:
            middle = len(items) // 2
            return items[:middle], items[middle:]
        run.judge(reading, settled, alone=len(items) == 1)
        return ()
