"""What is wrong: failed and dead items by their errors, held ones by what they wait for, and the open alerts."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fastapi import APIRouter
from sqlalchemy import Connection, Row

from totara_bridge.oracle.remedy import remedy
from totara_bridge.staging import alert, item_count
from totara_bridge.staging.error_group import newest_error_groups
from totara_bridge.staging.held_group import held_groups
from totara_bridge.staging.states import State
from totara_bridge.web.panel.asked import Config, Staging
from totara_bridge.web.panel.held_words import advice, can_be_mapped, names_in, wanted

router = APIRouter()

#: Items of each destination and state that are looked at, however many there are.
EXAMINED = 10_000

_LOOKED_AT = (State.FAILED, State.DEAD, State.HELD)


@router.get("/problems")
def problems(staging: Staging, config: Config) -> dict[str, Any]:
    """The groups, the largest first; ``examined`` says of how many of all items they were made."""
    with staging.look() as connection:
        there = _present(connection)
        codes = list(dict.fromkeys([*(each.code for each in config.destinations), *(code for code, _ in there)]))
        errors = newest_error_groups(connection, codes, limit=EXAMINED)
        held = held_groups(connection, codes, limit=EXAMINED)
        alerts = alert.open_alerts(connection)
    examined = {**errors.examined, **_held(held)}
    return {
        "at": staging.clock(),
        "errors": [_error(row) for row in errors.groups],
        "held": [_waiting(row) for row in held],
        "alerts": [
            {"name": each.name, "subject": each.subject, "words": each.words, "since": each.raised_at,
             "seen_at": each.seen_at, "run_id": each.run_id} for each in alerts
        ],
        "examined": [*_examined(there, examined)],
    }  # fmt: skip


def _present(connection: Connection) -> Mapping[tuple[str, State], int]:
    there: Counter[tuple[str, State]] = Counter()
    for each in item_count.present(connection):
        if each.state in _LOOKED_AT:
            there[each.destination, each.state] += each.items
    return there


def _held(rows: Sequence[Row[Any]]) -> Mapping[tuple[str, State], int]:
    found: Counter[tuple[str, State]] = Counter()
    for row in rows:
        found[row.destination, State.HELD] += row.items
    return found


def _examined(
    there: Mapping[tuple[str, State], int], examined: Mapping[tuple[str, State], int]
) -> Iterator[dict[str, Any]]:
    """Of which states not all was looked at."""
    for (code, state), items in sorted(there.items()):
        found = examined.get((code, state), 0)
        if found >= EXAMINED and items > found:
            yield {"destination": code, "state": state, "examined": found, "items": items}


def _error(row: Row[Any]) -> dict[str, Any]:
    return {
        "destination": row.destination,
        "fingerprint": row.fingerprint,
        "error_class": row.error_class,
        "error_code": row.error_code,
        "sample": row.error_words,
        "sample_item": row.sample,
        "failed": row.failed,
        "dead": row.dead,
        "first_at": row.first_at,
        "last_at": row.last_at,
        "what_to_do": remedy(row.error_class),
    }


def _waiting(row: Row[Any]) -> dict[str, Any]:
    return {
        "destination": row.destination,
        "held_for": names_in(row.held_for),
        "waits_for": wanted(row.held_for),
        "items": row.items,
        "learners": row.learners,
        "courses": row.courses,
        "course_names": row.course_names,
        "since": row.since,
        "what_to_do": advice(row.held_for),
        "mappings": can_be_mapped(row.held_for),
    }
