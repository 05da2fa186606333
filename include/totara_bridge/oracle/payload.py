"""The JSON text of one item in the default template, and a request's exact body made of such texts."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from totara_bridge.completion import Status


@dataclass(frozen=True, kw_only=True, slots=True)
class Deliverable:
    """What one item says: a learner, a course, and how it stands between them."""

    item_key: str  #: the idempotency key
    kind: str  #: completion, correction or withdrawal
    revision: int
    site: str
    user_id: int
    course_id: int
    status: Status
    progress: int | None  #: 0–100
    time_completed: datetime | None
    username: str | None
    id_number: str | None
    email: str | None
    first_name: str | None
    last_name: str | None
    course_short_name: str | None
    course_id_number: str | None
    course_full_name: str | None


def render(item: Deliverable) -> str:
    """One item as JSON text; the same item always gives the same text.

    :raises ValueError: the completion time has no time zone.
    """
    document = {
        "idempotencyKey": item.item_key,
        "kind": item.kind,
        "revision": item.revision,
        "site": item.site,
        "userId": item.user_id,
        "courseId": item.course_id,
        "status": item.status,
        "progress": item.progress,
        "timecompleted": None if item.time_completed is None else _utc(item.time_completed),
        "user": {
            "username": item.username,
            "idnumber": item.id_number,
            "email": item.email,
            "firstname": item.first_name,
            "lastname": item.last_name,
        },
        "course": {
            "shortname": item.course_short_name,
            "idnumber": item.course_id_number,
            "fullname": item.course_full_name,
        },
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def body(payload_texts: Iterable[str]) -> bytes:
    """A request's body: the items as they were snapshotted, none of them parsed again."""
    return f'{{"items":[{",".join(payload_texts)}]}}'.encode()


def idempotency_key(request_body: bytes) -> str:
    """The request's own key: the same body, the same key."""
    return hashlib.sha256(request_body).hexdigest()


def _utc(time: datetime) -> str:
    if time.tzinfo is None:
        raise ValueError(f"The completion time {time} has no time zone: give one.")
    return time.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"
