"""A claim's items become requests that are as large as allowed and no larger."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Row

from totara_bridge.oracle.payload import body
from totara_bridge.push.flow import FAILURES_TO_ISOLATE

#: The claimed items that one request carries.
Packed = Sequence[Row[Any]]


class Packing:
    """How large a request may be, and what its body has around the items."""

    def __init__(self, *, request_bytes: int, items: str) -> None:
        """For bodies of up to ``request_bytes`` whose list is called ``items``."""
        self._request_bytes = request_bytes
        self._around = len(body((), items))

    def size(self, item: Row[Any]) -> int:
        """The bytes of a request that carries this item alone."""
        return self._around + len(item.payload.encode())

    def too_large(self, items: Packed) -> Packed:
        """Those of the items that no request may carry."""
        return [item for item in items if not self._fits(item)]

    def requests(self, items: Packed) -> Iterator[Packed]:
        """The other items, in their order and as many together as may be; those that failed often alone."""
        fitting = [item for item in items if self._fits(item)]
        yield from self._together([item for item in fitting if item.failures < FAILURES_TO_ISOLATE])
        for item in fitting:
            if item.failures >= FAILURES_TO_ISOLATE:
                yield [item]

    def _fits(self, item: Row[Any]) -> bool:
        return self.size(item) <= self._request_bytes

    def _together(self, items: Packed) -> Iterator[Packed]:
        packed: list[Row[Any]] = []
        size = 0
        for item in items:
            more = self.size(item) - self._around + 1  # with the comma before it
            if packed and size + more > self._request_bytes:
                yield packed
                packed = []
            size = size + more if packed else self.size(item)
            packed.append(item)
        if packed:
            yield packed
