"""What a run would do, counted before it starts, by the very form that it is asked with; counting changes nothing."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from time import monotonic
from typing import Any, TypeVar

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, ValidationError

from totara_bridge import backfill, purge
from totara_bridge.config import BridgeConfig
from totara_bridge.errors import ConfigurationInvalid, RequestInvalid
from totara_bridge.orchestration.form import Form, filled_in
from totara_bridge.orchestration.tasks.backfill import Backfill, past_of
from totara_bridge.orchestration.tasks.purge import Purge
from totara_bridge.orchestration.tasks.requeue import Requeue
from totara_bridge.requeue import CarriedOut
from totara_bridge.staging import selection
from totara_bridge.staging.brief_look import TakesTooLong, brief_look
from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.selection import Action
from totara_bridge.web.panel.access import FROM_OUR_PAGE, MAY_MANAGE, Person
from totara_bridge.web.panel.asked import Config, Staging
from totara_bridge.web.problem import Problem
from totara_bridge.web.service import Service

# a count is a POST for what it is asked with, and costs the database more than a page does
router = APIRouter(prefix="/actions", dependencies=[MAY_MANAGE, FROM_OUR_PAGE])

#: So long a person waits for a count; the run itself has the time that it needs.
PATIENCE = timedelta(seconds=8)

_Form = TypeVar("_Form", bound=Form)
_Counted = dict[str, Any]


class Asked(BaseModel):
    """What a run would be asked with."""

    model_config = ConfigDict(extra="forbid")

    conf: dict[str, Any]


@router.post("/requeue/count")
def count_requeue(asked: Asked, staging: Staging, config: Config) -> _Counted:
    """How many items would be requeued, or cancelled."""
    form = _filled_in(Requeue, asked.conf)
    _require(config, form.sites, form.destinations)
    action, chosen = Action(form.action), form.selection(staging.clock())

    def count(transaction: Transaction) -> _Counted:
        found = selection.groups(transaction, chosen, action)
        not_there = len(set(chosen.ids)) - sum(group.items for group in found) if chosen.ids else 0
        would = CarriedOut(found, done=0, refused=sum(group.refused for group in found) + not_there)
        items = sum(group.items - group.refused for group in found)
        return {"sentence": _requeue_sentence(action, items, would), "items": items, "counts": would.counts()}

    return _counted(staging, count)


@router.post("/purge/count")
def count_purge(asked: Asked, staging: Staging, person: Person) -> _Counted:
    """How many rows would be deleted; ``items`` is all of them together."""
    form = _filled_in(Purge, asked.conf)
    wanted = form.asked(person, by_hand=True)

    def count(transaction: Transaction) -> _Counted:
        counts = purge.count(transaction, wanted, now=staging.clock())
        return {"sentence": _purge_sentence(counts), "items": sum(counts.values()), "counts": counts}

    return _counted(staging, count)


@router.post("/backfill/count")
def count_backfill(asked: Asked, staging: Staging, config: Config, person: Person) -> _Counted:
    """How many items would be queued, or sent again; ``counts`` are by destination."""
    form = _filled_in(Backfill, asked.conf)
    _require(config, form.sites, form.destinations)
    codes = [each.code for each in config.destinations if not form.destinations or each.code in form.destinations]
    now, begun = staging.clock(), monotonic()

    def count(transaction: Transaction) -> _Counted:
        looks = {}
        for code in codes:
            wanted = backfill.Asked(past_of(config, code, form), person, now, form.resend)
            with brief_look(transaction, within=PATIENCE - timedelta(seconds=monotonic() - begun)):
                looks[code] = backfill.look(transaction, wanted)
        return {
            "sentence": " ".join(_backfill_sentence(code, look) for code, look in looks.items()),
            "items": sum(look.found.lacking + look.resendable for look in looks.values()),
            "counts": {code: backfill.Backfilled(look).counts() for code, look in looks.items()},
        }

    return _counted(staging, count)


def _counted(staging: Service, count: Callable[[Transaction], _Counted]) -> _Counted:
    """The count; where it takes longer than a person waits, only a sentence: the run may be started all the same."""
    try:
        with staging.change() as transaction, brief_look(transaction, within=PATIENCE):
            return count(transaction)
    except TakesTooLong:
        return {"sentence": _TOO_MUCH, "items": None, "counts": {}}


_TOO_MUCH = (
    f"There is more than can be counted in {PATIENCE.seconds} seconds. The run will say how many it were; triggered in "
    "Airflow with its dry run on, it only counts."
)


def _filled_in(form: type[_Form], conf: Mapping[str, Any]) -> _Form:
    """The form as a run would read it.

    :raises Problem: it cannot be; each mistake with its field.
    """
    try:
        return filled_in(form, conf)
    except RequestInvalid as error:
        raise Problem(400, "invalid", str(error), _mistakes(form, conf)) from None


def _mistakes(form: type[Form], conf: Mapping[str, Any]) -> list[dict[str, str]]:
    """Each with its field; a rule of several fields has none."""
    try:
        form.model_validate(conf)
    except ValidationError as error:
        return [
            {"pointer": ".".join(map(str, each["loc"])), "detail": str(each["msg"]).removeprefix("Value error, ")}
            for each in error.errors(include_url=False, include_input=False)
        ]
    return []


def _require(config: BridgeConfig, sites: tuple[str, ...] | None, destinations: tuple[str, ...] | None) -> None:
    for field, codes in (("sites", sites), ("destinations", destinations)):
        try:
            config.require(**{field: codes})
        except ConfigurationInvalid as error:
            raise Problem(400, "invalid", str(error), [{"pointer": field, "detail": str(error)}]) from None


def _requeue_sentence(action: Action, items: int, would: CarriedOut) -> str:
    done = {Action.REQUEUE: "requeued", Action.CANCEL: "cancelled"}[action]
    groups = [(f"{g.state} for {g.destination}", g.items - g.refused) for g in would.found]
    parts = {name: sum(number for other, number in groups if other == name) for name, number in groups if number}
    listed = ": " + ", ".join(f"{number:,} {name}" for name, number in parts.items()) if parts else ""
    others = _number(would.refused, "other is left as it is", "others are left as they are")
    refused = f" {others}, as it does not fit." if would.refused else ""
    return f"{_number(items, 'item', 'items')} would be {done}{listed}.{refused}"


#: What a row of each table is called, and what several are.
_ROWS = {
    "items": ("item that was sent", "items that were sent"),
    "item_events": ("event of these", "events of these"),
    "kept_bodies": ("kept body", "kept bodies"),
    "log_rows": ("row of the export log", "rows of the export log"),
    "acknowledgements": ("acknowledgement", "acknowledgements"),
    "audit_rows": ("row of the audit log", "rows of the audit log"),
    "alerts": ("resolved alert", "resolved alerts"),
    "alert_notices": ("notice of these", "notices of these"),
}


def _purge_sentence(counts: Mapping[str, int]) -> str:
    found = [_number(counts[table], *words) for table, words in _ROWS.items() if counts[table]]
    return f"Would be deleted for good: {', '.join(found)}." if found else "Nothing would be deleted."


def _backfill_sentence(code: str, look: backfill.Outlook) -> str:
    found, minutes = look.found, look.minutes if look.found.lacking + look.resendable else None
    begin = f"{_number(found.lacking, 'completion', 'completions')} would be queued for {code}"
    again = f", and {look.resendable:,} that it has would be sent again" if look.told else ""
    wait = f", which takes about {_number(minutes, 'minute', 'minutes')} with what waits before" if minutes else ""
    stay = {
        "delivered already": 0 if look.told else found.delivered,
        "delivered, purged here and edited since": look.changed,
        "in the queue already": found.queued,
        "cancelled (to requeue them is another action)": found.cancelled,
        "of learners who were deleted or erased": found.withheld,
    }
    rest = ", ".join(f"{number:,} {words}" for words, number in stay.items() if number)
    return f"{begin}{again}{wait}." + (f" Left out: {rest}." if rest else "")


def _number(number: int, one: str, several: str) -> str:
    return f"{number:,} {one if number == 1 else several}"
