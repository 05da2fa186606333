"""Leases are prolonged for as long as their drain lives: a slow answer loses no items to another drain."""

import logging
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self
from uuid import UUID

from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from totara_bridge.staging import lease

log = logging.getLogger(__name__)


class LeaseKeeper:
    """A thread that prolongs, at half of their time, the leases of the batches that are being sent."""

    def __init__(self, engine: Engine, length: timedelta, clock: Callable[[], datetime]) -> None:
        self._engine = engine
        self._length = length
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: set[UUID] = set()
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
    def keeping(self, token: UUID) -> Iterator[None]:
        """Keep the leases of this claim while the block runs."""
        with self._lock:
            self._kept.add(token)
        try:
            yield
        finally:
            with self._lock:
                self._kept.discard(token)

    def _run(self) -> None:
        while not self._end.wait(self._length.total_seconds() / 2):
            with self._lock:
                tokens = list(self._kept)
            try:
                self._prolong(tokens)
            except OperationalError as error:
                # the batches go on; at worst a lease runs out and an item is sent again under its key
                log.warning("leases could not be prolonged: %s", error.orig)

    def _prolong(self, tokens: Collection[UUID]) -> None:
        if tokens:
            with self._engine.begin() as transaction:
                lease.extend(transaction, tokens, lease_until=self._clock() + self._length)
