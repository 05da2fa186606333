"""What a thread does with one claim: it is packed into requests, each is sent in its turn, and settled."""

from collections import deque
from collections.abc import Sequence, Set
from uuid import UUID, uuid4

from totara_bridge.oracle.verdict import Outcome
from totara_bridge.push.keeper import Kept, LeaseKeeper
from totara_bridge.push.packing import Packed
from totara_bridge.push.plan import Sends
from totara_bridge.push.run import Run
from totara_bridge.push.settle import Posted, bury
from totara_bridge.staging import lease


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
        opened: set[int] = set()
        try:
            if too_large := run.packing.too_large(items):
                self._bury(too_large, kept.token)
            while waiting and not run.over() and not run.resting():
                with run.open:
                    if not run.turn():
                        return run.resting()
                    if not kept.for_another(run.plan.request_timeout):
                        break
                    request = waiting.popleft()
                    opened.update(item.id for item in request)
                    posted = self._post(request, kept.token)
                waiting.extendleft(self._settle(posted))
            return True
        finally:
            if waiting:
                self._return({item.id for request in waiting for item in request}, kept.token, opened=opened)

    def _return(self, left: Set[int], token: UUID, *, opened: Set[int]) -> None:
        """Put back what is left over. Of a request that had to be split, the destination may have taken items."""
        with self._run.engine.begin() as transaction:
            for ids, posted in ((left - opened, False), (left & opened, True)):
                if ids:
                    lease.release(transaction, token, ids=sorted(ids), posted=posted)

    def _bury(self, too_large: Packed, token: UUID) -> None:
        run = self._run
        sizes = {item.id: run.packing.size(item) for item in too_large}
        with run.engine.begin() as transaction:
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
            others_succeed=run.others_succeed() or bool(reading.having(Outcome.SENT)),
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
