"""The Settings tab: every switch with its value for all and for each destination, and changing one of them."""

from collections.abc import Iterable
from typing import Annotated, Any

from airflow.api_fastapi.core_api.security import GetUserDep
from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict
from sqlalchemy import Row

from totara_bridge.settings import Settings
from totara_bridge.staging import setting
from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.setting import EVERYWHERE
from totara_bridge.web.panel.access import FROM_OUR_PAGE, MAY_MANAGE, Person, manages
from totara_bridge.web.panel.asked import Config, Staging
from totara_bridge.web.panel.setting_field import FIELDS, SettingField
from totara_bridge.web.problem import Problem

router = APIRouter()

_CHANGES = (MAY_MANAGE, FROM_OUR_PAGE)


class Back(BaseModel):
    """A switch is to be as for all, or as by default."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    was: Any  #: what the person saw of it: none: that it had no value of its own


class Change(Back):
    """A switch is to have this value."""

    value: Any


def _addressed(scope: str, name: str) -> SettingField:
    """The switch that an address names.

    :raises Problem: 404: there is none of that name, or no destination has its own.
    """
    field = FIELDS.get(name)
    if field is None:
        raise Problem(404, "not-found", f"There is no such setting: choose one of {', '.join(FIELDS)}.")
    if field.only_for_all and scope != EVERYWHERE:
        raise Problem(404, "not-found", f"The setting {name} counts for all only: no destination has its own.")
    return field


Addressed = Annotated[SettingField, Depends(_addressed)]


@router.get("/settings")
def settings(user: GetUserDep, staging: Staging) -> dict[str, Any]:
    """Each switch, what it takes and what it is; of alert channels only who may manage sees the addresses."""
    with staging.look() as connection:
        rows = setting.rows(connection)
    with_addresses = manages(user)
    return {"settings": [_shown(field, rows, with_addresses=with_addresses) for field in FIELDS.values()]}


@router.put("/settings/{scope}/{name}", dependencies=_CHANGES)
def change(
    *, scope: str, field: Addressed, asked: Change, person: Person, staging: Staging, config: Config
) -> dict[str, Any]:
    """Give a switch this value, unless it is no longer what the person saw; asked twice, it is changed once."""
    if scope != EVERYWHERE and all(scope != each.code for each in config.destinations):
        raise Problem(404, "not-found", "bridge.toml has no destination of that code: reload the page.")
    value = field.understood(asked.value)
    with staging.change() as transaction:
        if setting.alone(transaction, scope=scope, name=field.name) != value:
            _refuse_if_changed(transaction, scope, field, asked.was)
            setting.write(transaction, scope=scope, name=field.name, value=value, by=person, now=staging.clock())
        return _shown(field, setting.rows(transaction), with_addresses=True)


@router.delete("/settings/{scope}/{name}", dependencies=_CHANGES)
def back(scope: str, field: Addressed, asked: Back, person: Person, staging: Staging) -> dict[str, Any]:
    """Leave a switch to what holds for all, or to its default; of a destination that is gone, too."""
    with staging.change() as transaction:
        if setting.alone(transaction, scope=scope, name=field.name) is not None:
            _refuse_if_changed(transaction, scope, field, asked.was)
            setting.forget(transaction, scope=scope, name=field.name, by=person, now=staging.clock())
        return _shown(field, setting.rows(transaction), with_addresses=True)


def _refuse_if_changed(transaction: Transaction, scope: str, field: SettingField, was: Any) -> None:
    """Refuse to write over what somebody else has set since the person looked.

    :raises Problem: 409: it is no longer what it was.
    """
    own = {row.scope: row for row in setting.rows(transaction) if row.name == field.name}.get(scope)
    if (None if own is None else _value(field, own.value)) == was:
        return
    now = f"{own.changed_by} has changed it" if own is not None else "somebody has set it back"
    raise Problem(
        409,
        "changed-meanwhile",
        f"The setting {field.name} was not changed, for {now} since you looked: see what it is now, then save "
        "again if you still want yours.",
    )


def _shown(field: SettingField, rows: Iterable[Row[Any]], *, with_addresses: bool) -> dict[str, Any]:
    own = {row.scope: _own(field, row, with_addresses=with_addresses) for row in rows if row.name == field.name}
    return field.as_json() | {"everywhere": own.pop(EVERYWHERE, None), "destinations": own}


def _own(field: SettingField, row: Row[Any], *, with_addresses: bool) -> dict[str, Any]:
    """A value that was set: what it is, and who set it when; where it cannot be, a sentence instead."""
    value = _value(field, row.value)
    wrong = f"What is stored cannot be: {field.name} takes {field.allowed}. Set it anew." if value is None else None
    if field.kind == "channels" and value is not None and not with_addresses:
        value = [channel.for_audit() for channel in Settings(alert_channels=value).alert_channels]
    return {"value": value, "wrong": wrong, "changed_at": row.changed_at, "changed_by": row.changed_by}


def _value(field: SettingField, stored: Any) -> Any:
    """The value as it is understood; none: it was written past the bridge, and cannot be."""
    try:
        return field.understood(stored)
    except Problem:
        return None
