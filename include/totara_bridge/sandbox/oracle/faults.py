"""The faults that a test can order: which requests or items they meet, and what then happens instead.

A fault is ``{"match": {…}, "action": {…}}``; the first fault that meets a request acts on it, and every fault
with ``item`` acts on the items it meets.
"""

from collections.abc import Iterable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from totara_bridge.sandbox.oracle.store import Sent


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Match(_Part):
    """Which requests or items; everything that is given must be so, and nothing given is every request."""

    endpoint: Literal["completions", "token"] = "completions"
    nth: int | None = Field(default=None, ge=1)  #: this request only, counted from when the fault was put
    next: int | None = Field(default=None, ge=1)  #: as many requests as this, then no more
    key: str | None = None  #: requests with this item; with ``item``: this item
    user_id: int | None = None  #: requests with an item of this learner; with ``item``: those items
    over_bytes: int | None = None  #: requests with a longer body


class Action(_Part):
    """What happens; several may be given together."""

    delay: float = 0.0  #: seconds before anything else
    hang: Literal["before", "after"] | None = None  #: before or after storing, until ``POST /sandbox/release``
    close: Literal["before", "after"] | None = None  #: close the connection instead of answering
    status: int | None = None  #: answer this instead, with ``headers`` and ``body``
    headers: dict[str, str] = {}
    body: Any = None  #: text, or anything else as JSON
    html: bool = False  #: answer 200 with an HTML page
    store: bool = False  #: with ``status`` or ``html``: keep the items all the same
    truncate: int | None = None  #: as many bytes of the true answer, well-formed HTTP
    cut: int | None = None  #: as many bytes of the true answer, then the connection closes
    #: the true answer names each item twice; or comes twice: at once, or late, when the connection's next request came
    twice: Literal["results", "at_once", "late"] | None = None
    item: str | None = None  #: this status word for the items met, which are not stored; missing: no result
    code: str = "SBX-1"  #: of the items' error
    message: str = "The sandbox was told to refuse this item."

    @property
    def answers_itself(self) -> bool:
        """Whether the true answer is replaced."""
        return self.status is not None or self.html


class Fault(_Part):
    """One thing that goes wrong."""

    match: Match = Match()
    action: Action


class Faults:
    """The faults that are ordered, and how many requests each has seen."""

    def __init__(self) -> None:
        """No faults."""
        self.met = 0  #: requests and items that a fault acted on, since the start
        self._faults: list[Fault] = []
        self._seen: dict[int, int] = {}
        self._used: dict[int, int] = {}

    def put(self, faults: list[Fault]) -> None:
        """These faults, instead of those before; counting starts again."""
        self._faults, self._seen, self._used = faults, {}, {}

    def ordered(self) -> list[Fault]:
        """The faults as they were put."""
        return self._faults

    def meeting_request(
        self, endpoint: str, *, size: int = 0, items: Iterable[Sent] = ()
    ) -> tuple[Action, dict[str, Action]]:
        """What happens to a request, and to which of its items (by key)."""
        items = list(items)
        whole: Action | None = None
        each: dict[str, Action] = {}
        for number, fault in enumerate(self._faults):
            met = [sent for sent in items if _meets_item(fault.match, sent)]
            if fault.match.endpoint != endpoint or not _meets_request(fault.match, size, met):
                continue
            if not self._is_its_turn(number, fault.match, free=whole is None or fault.action.item is not None):
                continue
            if fault.action.item is not None:
                each |= {sent.key: fault.action for sent in met}
            else:
                whole = fault.action
        return whole or Action(), each

    def _is_its_turn(self, number: int, match: Match, *, free: bool) -> bool:
        self._seen[number] = self._seen.get(number, 0) + 1
        if not free or (match.nth is not None and self._seen[number] != match.nth):
            return False
        if match.next is not None and self._used.get(number, 0) >= match.next:
            return False
        self._used[number] = self._used.get(number, 0) + 1
        self.met += 1
        return True


def _meets_item(match: Match, sent: Sent) -> bool:
    return match.key in {None, sent.key} and match.user_id in {None, sent.user_id}


def _meets_request(match: Match, size: int, met: list[Sent]) -> bool:
    if match.over_bytes is not None and size <= match.over_bytes:
        return False
    return bool(met) or (match.key is None and match.user_id is None)
