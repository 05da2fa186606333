"""One request, as far as it was read, and what is answered to it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from totara_bridge.staging.api_token import Caller
from totara_bridge.web.service import Service


@dataclass(frozen=True)
class Call:
    """A request that was let in."""

    service: Service
    caller: Caller
    now: datetime
    path: Mapping[str, str]  #: what stands in the path, by name
    query: Sequence[tuple[str, str]]  #: as it came: what is there twice is here twice
    accept: str  #: the header; empty: there is none
    content_type: str  #: the header; empty: there is none
    body: bytes


@dataclass(frozen=True)
class Answer:
    """What is answered."""

    body: bytes | Iterator[bytes]  #: an iterator is read in a thread, a chunk at a time
    media_type: str = "application/json"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
