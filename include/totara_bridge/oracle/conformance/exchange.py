"""An exchange is one request that was posted and what came back, read with the bridge's own table of answers."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from totara_bridge.hidden import Hidden
from totara_bridge.oracle import answers
from totara_bridge.oracle.verdict import Outcome, Reading
from totara_bridge.oracle.words import shorten, words_in, words_of

_SHOWN = 4  # results; more would hide the rest of the report


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """One request and its answer."""

    endpoint: str
    keys: Sequence[str]  #: of the items that were sent
    hidden: Hidden  #: what no text of it shows: the token
    status: int | None = None  #: none: no answer
    headers: Mapping[str, str]  #: names in lower case
    body: bytes = b""
    failure: str = ""  #: why there is no answer
    stays_open: bool = True  #: the connection, as far as the answer says

    @property
    def reading(self) -> Reading:
        """What the bridge takes it to mean."""
        return answers.read(self.keys, self.status or 0, self.headers, self.body, endpoint=self.endpoint)

    @property
    def taken(self) -> bool:
        """Whether the bridge would write all items down as sent."""
        return len(self.reading.having(Outcome.SENT)) == len(self.keys)

    @property
    def refused_whole(self) -> bool:
        """Whether nothing is said but that something in it is wrong."""
        return self.status in (400, 422) and self.results is None

    @property
    def results(self) -> list[dict[str, Any]] | None:
        """The results per item; none: it has no such list."""
        document = self.document
        results = document.get("results") if isinstance(document, dict) else None
        if not isinstance(results, list):
            return None
        return [each if isinstance(each, dict) else {} for each in results]

    @property
    def document(self) -> Any:
        """The body as JSON; none where it is not."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

    @property
    def content_type(self) -> str:
        """What the answer says it is, in lower case."""
        return self.hidden.hide(shorten(self.headers.get("content-type")) or "").lower()

    def of_key(self, key: str) -> list[dict[str, Any]]:
        """The results under this key."""
        return [each for each in self.results or [] if each.get("idempotencyKey") == key]

    def __str__(self) -> str:
        """The answer in a line, in the endpoint's own words."""
        return self.hidden.hide(self._line())

    def _line(self) -> str:
        if self.status is None:
            return f"no answer: {self.failure}"
        if (results := self.results) is not None:
            shown = ", ".join(map(_told, results[:_SHOWN])) or "none"
            return f"{self.status} with {len(results)} results: {shown}{', …' if len(results) > _SHOWN else ''}"
        if not self.body.strip():
            return f"{self.status} with an empty body"
        said = str(words_of(self.body)) or f"{len(self.body)} bytes of {self.content_type or 'no type'}"
        return f"{self.status} ({said})"


def _told(result: dict[str, Any]) -> str:
    said = words_in({"error": result.get("error")})
    parts = [result.get("idempotencyKey"), result.get("status"), result.get("reference")]
    told = " ".join(shorten(part) or "?" for part in parts if part is not None)
    return f"{told} ({said})" if str(said) else told or "one without idempotencyKey and status"
