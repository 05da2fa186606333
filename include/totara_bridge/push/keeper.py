"""Leases are prolonged for as long as their drain lives: a slow answer loses no items to another drain."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self
from uuid import UUID

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from totara_bridge.staging import lease

log = logging.getLogger(__name__)


class Kept:
    """The lease of one claim."""

    def __init__(self, keeper: "LeaseKeeper", token: UUID, until: datetime) -> None:
        self.token = token
        self.until = until
        self._keeper = keeper

    def for_another(self, timeout: timedelta) -> bool:
        """Whether a request may still begin: its items stay ours for longer than it can take."""
        return self._keeper.now() + timeout < self.until or self._keeper.prolong(self)


class LeaseKeeper:
    """A thread that prolongs, at half of their time, the leases of the batches that are being sent."""

    def __init__(self, engine: Engine, length: timedelta, clock: Callable[[], datetime]) -> None:
        self.now = clock
        self._engine = engine
        self._length = length
        self._lock = threading.Lock()
        self._kept: set[Kept] = set()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="push-lease-keeper")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()

    @contextmanager
    def keeping(self, token: UUID, *, until: datetime) -> Iterator[Kept]:
        """Keep the lease of this claim, which now runs until then, while the block runs."""
        kept = Kept(self, token, until)
        with self._lock:
            self._kept.add(kept)
        try:
            yield kept
        finally:
            with self._lock:
                self._kept.discard(kept)

    def prolong(self, kept: Kept) -> bool:
        """Prolong one lease now; whether any of its items is still ours."""
        until = self.now() + self._length
        with self._engine.begin() as transaction:
            ours = lease.extend(transaction, [kept.token], lease_until=until) > 0
        if ours:
            kept.until = until
        return ours

    def _run(self) -> None:
        while not self._end.wait(self._length.total_seconds() / 2):
            with self._lock:
                kept = list(self._kept)
            for each in kept:
                try:
                    self.prolong(each)
                except SQLAlchemyError as error:
                    # the batch goes on; no further request of it begins once too little of its lease is left
                    said = error.orig if isinstance(error, DBAPIError) else error
                    log.warning("a lease could not be prolonged: %s", said)
