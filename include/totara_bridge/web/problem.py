"""What a caller gets who cannot be served: a problem document (RFC 9457) that says what to change."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"

#: Of every answer: who asks as somebody else gets another one, and no cache between is to keep names of people.
PRIVATE = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}

#: Mistakes of one request that are told: more nobody would read.
MOST_TOLD = 20

#: Before the kind, in the ``type`` of a problem: a name, no address.
TYPE = "urn:totara-bridge:problem:"


@dataclass
class Problem(Exception):
    """Why a request is not served."""

    status: int
    kind: str  #: for programs, such as ``invalid-parameter``; stays as it is
    detail: str  #: for people: one sentence, what to change at its end
    errors: Sequence[Mapping[str, str]] = ()  #: ``detail``, and the ``parameter`` or the JSON ``pointer`` that it is of
    headers: Mapping[str, str] = field(default_factory=dict)

    def document(self) -> bytes:
        """The JSON."""
        said: dict[str, object] = {
            "type": TYPE + self.kind,
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
        }
        if self.errors:
            said["errors"] = list(self.errors)
        return json.dumps(said, ensure_ascii=False).encode()


def refusal(trouble: Problem) -> Response:
    """The problem as a response."""
    return Response(trouble.document(), trouble.status, {**trouble.headers, **PRIVATE}, MEDIA_TYPE)


def invalid_parameter(*errors: tuple[str, str]) -> Problem:
    """400: each parameter and what is wrong with it, as a sentence; of very many the first, and how many there are."""
    told = errors[:MOST_TOLD]
    words = [f"{name}: {detail}" for name, detail in told]
    if len(errors) > len(told):
        words.append(f"These are the first {len(told)} of {len(errors)} mistakes.")
    return Problem(
        400, "invalid-parameter", " ".join(words), [{"parameter": name, "detail": detail} for name, detail in told]
    )


def misconfigured() -> Problem:
    """503: nobody can be answered before the bridge's settings are mended; its log says what is wrong."""
    return Problem(
        503,
        "misconfigured",
        "The bridge's settings hold what cannot be: tell whoever runs the bridge, its log says what it is.",
        headers={"Retry-After": "300"},
    )
