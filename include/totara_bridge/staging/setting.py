"""A manager's switches as they are now."""

from datetime import datetime
from typing import Any

from pydantic import ValidationError
from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert

from totara_bridge.errors import ConfigurationInvalid
from totara_bridge.settings import Settings
from totara_bridge.staging import audit
from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.schema import SettingRow

#: The scope of a switch that holds for every destination that has none of its own.
EVERYWHERE = "bridge"


def read(transaction: Transaction, scope: str = EVERYWHERE) -> Settings:
    """The switches of a destination: its own, then those for all, then the defaults.

    :raises ConfigurationInvalid: the table holds a value out of bounds.
    """
    rows = transaction.execute(
        select(SettingRow.scope, SettingRow.name, SettingRow.value).where(SettingRow.scope.in_([EVERYWHERE, scope]))
    ).all()
    values = {row.name: row.value for row in sorted(rows, key=lambda row: row.scope != EVERYWHERE)}
    return _checked(values, scope)


def of_destinations(transaction: Transaction) -> dict[str, Settings]:
    """The switches of each destination that has any of its own.

    :raises ConfigurationInvalid: the table holds a value out of bounds.
    """
    scopes = transaction.execute(select(SettingRow.scope).where(SettingRow.scope != EVERYWHERE).distinct()).scalars()
    return {scope: read(transaction, scope) for scope in scopes.all()}


def write(transaction: Transaction, *, scope: str = EVERYWHERE, name: str, value: Any, by: str, now: datetime) -> None:
    """Set one switch.

    :raises ConfigurationInvalid: there is no such switch, or the value is out of its bounds.
    """
    if name not in Settings.model_fields:
        raise ConfigurationInvalid(
            f"There is no setting {name!r}: choose one of {', '.join(sorted(Settings.model_fields))}."
        )
    _checked({name: value}, scope)
    _audit(transaction, scope=scope, name=name, value=value, by=by, now=now)
    written = {"value": value, "changed_at": now, "changed_by": by}
    transaction.execute(
        insert(SettingRow)
        .values(scope=scope, name=name, **written)
        .on_conflict_do_update(index_elements=[SettingRow.scope, SettingRow.name], set_=written)
    )


def forget(transaction: Transaction, *, scope: str = EVERYWHERE, name: str, by: str, now: datetime) -> None:
    """Leave one switch to whatever holds for all, or to its default."""
    _audit(transaction, scope=scope, name=name, value=None, by=by, now=now)
    transaction.execute(delete(SettingRow).where(SettingRow.scope == scope, SettingRow.name == name))


def _audit(transaction: Transaction, *, scope: str, name: str, value: Any, by: str, now: datetime) -> None:
    """Write down the old and the new value; none: as it holds for all, or by default."""
    before = transaction.execute(
        select(SettingRow.value).where(SettingRow.scope == scope, SettingRow.name == name)
    ).scalar_one_or_none()
    if before != value:
        details = {"scope": scope, "from": before, "to": value}
        audit.record(transaction, actor=by, action="setting", subject=name, details=details, now=now)


def _checked(values: dict[str, Any], scope: str) -> Settings:
    try:
        return Settings(**values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ConfigurationInvalid(
            f"The setting {'.'.join(str(part) for part in first['loc'])} of {scope} is not valid: {first['msg']}."
        ) from error
