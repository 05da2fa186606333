"""The JSON text of one item in a template, and a request's exact body made of such texts."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from totara_bridge.completion import Status
from totara_bridge.template import DEFAULT, Template
from totara_bridge.template_field import Branch, Leaf, json_text


@dataclass(frozen=True, kw_only=True, slots=True)
class Deliverable:
    """What one item says: a learner, a course, and how it stands between them."""

    item_key: str  #: the idempotency key
    record_key: str  #: the instance's name for ever
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
    learner_number: str | None  #: what the destination calls the learner
    course_number: str | None  #: what the destination calls the course


@dataclass(frozen=True, slots=True)
class Rendered:
    """An item's JSON text, and what keeps it from being sent."""

    payload: str
    missing: tuple[str, ...]  #: sources that a required field shows and the item has not


def render(item: Deliverable, template: Template = DEFAULT) -> Rendered:
    """One item as JSON text; the same item and template always give the same text.

    What the item has not is written as it is, null or an empty text, unless the field leaves it out.

    :raises ValueError: the completion time has no time zone.
    """
    missing: list[str] = []
    return Rendered(_object(template.members, item, missing), tuple(missing))


def _object(members: Iterable[Leaf | Branch], item: Deliverable, missing: list[str]) -> str:
    texts = []
    for member in members:
        if isinstance(member, Branch):
            texts.append(member.opening + _object(member.members, item, missing))
            continue
        value = member.read(item)
        if value is not None and value != "":
            texts.append(member.opening + member.write(value))
            continue
        if member.required and member.source not in missing:
            missing.append(member.source)
        if not member.omit_empty:
            texts.append(member.opening + json_text(value))
    return f"{{{','.join(texts)}}}"


def body(payload_texts: Iterable[str], items: str = "items") -> bytes:
    """A request's body: the items as they were snapshotted, none of them parsed again.

    :param items: the name of their list, as the template has it.
    """
    return f"{{{json_text(items)}:[{','.join(payload_texts)}]}}".encode()


def idempotency_key(request_body: bytes) -> str:
    """The request's own key: the same body, the same key."""
    return hashlib.sha256(request_body).hexdigest()
