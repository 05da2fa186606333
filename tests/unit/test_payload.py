"""The default template, letter by letter."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from totara_bridge.completion import Status
from totara_bridge.oracle import payload
from totara_bridge.oracle.payload import Deliverable

ITEM = Deliverable(
    item_key="TBABCDEFGHIJKLMNOPQRSTUVWXYZ",
    record_key="TBABCDEFGHIJKLMNOPQRSTUVWXYZ",
    kind="completion",
    revision=1,
    site="sbx",
    user_id=7,
    course_id=12,
    status=Status.COMPLETE,
    progress=100,
    time_completed=datetime(2026, 3, 1, 9, 30, 5, tzinfo=UTC),
    username="zoe",
    id_number="E-7",
    email="zoe@example.com",
    first_name='Zoë "Z"',
    last_name="Łuk\n",
    course_short_name="FS1",
    course_id_number=None,
    course_full_name="Fire safety",
    learner_number=None,
    course_number=None,
)

TEXT = (
    '{"idempotencyKey":"TBABCDEFGHIJKLMNOPQRSTUVWXYZ","recordKey":"TBABCDEFGHIJKLMNOPQRSTUVWXYZ","kind":"completion",'
    '"revision":1,"site":"sbx","userId":7,'
    '"courseId":12,"status":"complete","progress":100,"timecompleted":"2026-03-01T09:30:05Z",'
    '"user":{"username":"zoe","idnumber":"E-7","email":"zoe@example.com","firstname":"Zoë \\"Z\\"",'
    '"lastname":"Łuk\\n"},"course":{"shortname":"FS1","idnumber":null,"fullname":"Fire safety"}}'
)


def changed(**values: Any) -> Deliverable:
    """The item with other values."""
    return replace(ITEM, **values)


def test_an_item_is_this_text() -> None:
    assert payload.render(ITEM).payload == TEXT


def test_the_completion_time_is_in_utc() -> None:
    local = changed(time_completed=datetime(2026, 3, 1, 23, 30, tzinfo=timezone(timedelta(hours=-8))))
    assert json.loads(payload.render(local).payload)["timecompleted"] == "2026-03-02T07:30:00Z"
    assert json.loads(payload.render(changed(time_completed=None)).payload)["timecompleted"] is None


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        payload.render(changed(time_completed=datetime(2026, 3, 1)))  # noqa: DTZ001  that is the point


def test_a_body_holds_the_texts_as_they_are() -> None:
    assert payload.body([TEXT, "{ }"]) == f'{{"items":[{TEXT},{{ }}]}}'.encode()


def test_the_same_body_has_the_same_key() -> None:
    assert payload.idempotency_key(b"a") == payload.idempotency_key(b"a")
    assert payload.idempotency_key(b"a") != payload.idempotency_key(b"b")


def test_the_published_example_has_the_fields_that_are_sent() -> None:
    page = (Path(__file__).parents[2] / "docs/oracle-endpoint.md").read_text()
    example = json.loads(page.split("```json\n")[1].split("```")[0])
    sent = json.loads(payload.body([TEXT]))
    assert _fields(example) == _fields(sent)


def _fields(document: Any) -> Any:
    match document:
        case dict():
            return {name: _fields(value) for name, value in document.items()}
        case list():
            return [_fields(value) for value in document]
        case _:
            return None
