"""Items by what they have in common: how many there are, and which.

Each state is read by the partial index that holds it, so that the cost grows with what is selected, not with what was
ever sent.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Row, text

from totara_bridge.route import EVERYTHING, Route
from totara_bridge.staging import route, sought
from totara_bridge.staging.by_hand import CANCEL_FITS, REQUEUE_FITS
from totara_bridge.staging.deliverable import ROUTED
from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.hold import ANOTHER_LOOK
from totara_bridge.staging.states import Kind, Lane, State


class Action(StrEnum):
    """What is to be done with the items."""

    REQUEUE = "requeue"
    CANCEL = "cancel"


@dataclass(frozen=True)
class Selection:
    """What an item has to be: all that is given. Without states and without ids nothing is selected."""

    states: Sequence[State] = ()
    ids: Sequence[int] = ()
    lanes: Sequence[Lane] = ()
    kinds: Sequence[Kind] = ()
    destinations: Sequence[str] = ()
    route: Route = EVERYTHING  #: what its completion has to be
    learner: str | None = None  #: username, e-mail address or id number of its learner, as `sought` reads it
    course: str | None = None  #: short name or id number of its course, likewise
    key: str | None = None  #: its record key, or that of a correction or withdrawal itself, likewise
    error_class: str | None = None
    fingerprint: str | None = None  #: as `FINGERPRINT` makes it
    queued_since: datetime | None = None
    queued_until: datetime | None = None


#: SQL: what the last errors of items have in common, whatever numbers are in their words; NULL where there is none.
FINGERPRINT = """
    CASE WHEN q.error_class IS NOT NULL THEN
        left(md5(concat_ws('|', q.error_class, coalesce(q.error_code, ''),
                           regexp_replace(coalesce(q.error_words, ''), '[0-9]+', '#', 'g'))), 8)
    END
"""


def groups(transaction: Transaction, selection: Selection, action: Action) -> Sequence[Row[Any]]:
    """The selected items by state, destination and fingerprint, the largest group first.

    The rows have these three; error_class, error_code and error_words of one of the items; how many items there are,
    and how many of these the action would refuse.
    """
    columns = f"""
        q.state, q.destination, {FINGERPRINT} AS fingerprint, q.error_class, q.error_code, q.error_words,
        ({_FITS[action]}) AS fits
    """
    statement = text(
        f"""
        SELECT state, destination, fingerprint, min(error_class) AS error_class, min(error_code) AS error_code,
               min(error_words) AS error_words, count(*) AS items, count(*) FILTER (WHERE NOT fits) AS refused
        FROM ({selected(columns, selection, also=_NOT_YET[action])}) AS selected
        GROUP BY state, destination, fingerprint ORDER BY items DESC, state, destination, fingerprint
        """
    )
    return transaction.execute(statement, values(selection)).all()


def ids(transaction: Transaction, selection: Selection, action: Action, *, after: int, limit: int) -> Sequence[int]:
    """The ids of the next selected items, in their order; those that the action will refuse are among them."""
    statement = text(
        f"""
        SELECT id FROM ({selected("q.id", selection, also=f"{_NOT_YET[action]} AND q.id > :after")}) AS selected
        ORDER BY id LIMIT :limit
        """
    )
    return transaction.execute(statement, values(selection) | {"after": after, "limit": limit}).scalars().all()


def selected(columns: str, selection: Selection, *, also: str = "") -> str:
    """SQL: these columns of the items ``q`` that are selected; expects `values`.

    :param also: a further condition, beginning with AND.
    """
    narrowed = conditions(selection) + also
    return " UNION ALL ".join(
        f"SELECT {columns} FROM {ROUTED} JOIN bridge.export_queue q ON q.instance_id = i.id WHERE {arm}{narrowed}"
        for arm in _arms(selection)
    )


def conditions(selection: Selection) -> str:
    """SQL: all that an item ``q`` has to be, but for its state and its number; each begins with AND.

    They are over its instance ``i``, learner ``l`` and course ``k`` too, and expect `values`.
    """
    plain = [sql for name, sql in _CRITERIA.items() if getattr(selection, name)]
    words = [_any_fits(places, word) for name, places in _SOUGHT.items() if (word := getattr(selection, name))]
    return "".join(f" AND {sql}" for sql in (*plain, *words)) + route.condition(selection.route)


def values(selection: Selection) -> dict[str, object]:
    """What `selected` and `conditions` expect as parameters."""
    # what PostgreSQL takes for an array
    lists = {name: [*getattr(selection, name)] for name in ("ids", "lanes", "kinds", "destinations")}
    words = {name: sought.value(word) for name in _SOUGHT if (word := getattr(selection, name))}
    given = vars(selection) | lists
    return {name: given[name] for name in ("ids", *_CRITERIA) if given[name]} | words | route.values(selection.route)


_FITS = {Action.REQUEUE: REQUEUE_FITS, Action.CANCEL: CANCEL_FITS}

#: What was requeued and waits for its payload to be made anew is not requeued once more.
_NOT_YET = {Action.REQUEUE: f" AND q.held_for IS DISTINCT FROM '{ANOTHER_LOOK}'", Action.CANCEL: ""}

_CRITERIA = {
    "lanes": "q.lane = ANY(:lanes)",
    "kinds": "q.kind = ANY(:kinds)",
    "destinations": "q.destination = ANY(:destinations)",
    "error_class": "q.error_class = :error_class",
    "fingerprint": f"{FINGERPRINT} = :fingerprint",
    "queued_since": "q.queued_at >= :queued_since",
    "queued_until": "q.queued_at <= :queued_until",
}

#: Where a learner is found by a word: an index for each. Totara writes usernames in lower case, people do not.
LEARNER_NAMES = (
    ("l.username", ":learner"),
    ("l.username", "lower(:learner)"),
    ("l.id_number", ":learner"),
    ("lower(l.email)", "lower(:learner)"),
)

#: Where each word is looked for.
_SOUGHT = {
    "learner": LEARNER_NAMES,
    "course": (("lower(k.short_name)", "lower(:course)"), ("lower(k.id_number)", "lower(:course)")),
    "key": (
        ("i.record_key", ":key"),
        # a completion's own key is the record key
        ("CASE WHEN q.kind <> 'completion' THEN q.idempotency_key END", ":key"),
    ),
}


def _any_fits(places: Sequence[tuple[str, str]], word: str) -> str:
    return f"({' OR '.join(sought.fits(place, given, word) for place, given in places)})"


def _arms(selection: Selection) -> Iterator[str]:
    """SQL: conditions that exclude each other and that a partial index, or the key, fits each."""
    if selection.ids:
        states = ", ".join(f"'{state}'" for state in selection.states)
        yield "q.id = ANY(:ids)" + (f" AND q.state IN ({states})" if states else "")
        return
    for state in sorted(set(selection.states)):
        if state in (State.QUEUED, State.FAILED):
            # what was shown in shadow mode is in an index of its own
            yield f"q.state = '{state}' AND q.shadowed_at IS NULL"
            yield f"q.state = '{state}' AND q.shadowed_at IS NOT NULL"
        else:
            yield f"q.state = '{state}'"
    if not selection.states:
        yield "false"
