"""A manager's switches as they are now."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Row, delete, select, text
from sqlalchemy.dialects.postgresql import insert

from totara_bridge.errors import ConfigurationInvalid
from totara_bridge.settings import ONLY_FOR_ALL, Settings
from totara_bridge.staging import audit
from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.schema import SettingRow

#: The scope of a switch that holds for every destination that has none of its own.
EVERYWHERE = "bridge"


def read(transaction: Transaction, scope: str = EVERYWHERE, *, only: str | None = None) -> Settings:
    """The switches of a destination: its own, then those for all, then the defaults.

    :param only: one switch; all others are as by default, whatever the table holds.
    :raises ConfigurationInvalid: the table holds a value out of bounds.
    """
    rows = transaction.execute(
        select(SettingRow.scope, SettingRow.name, SettingRow.value).where(SettingRow.scope.in_([EVERYWHERE, scope]))
    ).all()
    values = {
        row.name: row.value for row in sorted(rows, key=lambda row: row.scope != EVERYWHERE) if only in (None, row.name)
    }
    return _checked(values, scope)


def of_destinations(transaction: Transaction) -> dict[str, Settings]:
    """The switches of each destination that has any of its own.

    :raises ConfigurationInvalid: the table holds a value out of bounds.
    """
    scopes = transaction.execute(select(SettingRow.scope).where(SettingRow.scope != EVERYWHERE).distinct()).scalars()
    return {scope: read(transaction, scope) for scope in scopes.all()}


def rows(transaction: Transaction) -> Sequence[Row[Any]]:
    """The table as it is, whatever it holds: scope, name, value, changed_at and changed_by."""
    columns = (getattr(SettingRow, name) for name in ("scope", "name", "value", "changed_at", "changed_by"))
    return transaction.execute(select(*columns).order_by(SettingRow.scope, SettingRow.name)).all()


def alone(transaction: Transaction, *, scope: str, name: str) -> Any:
    """The switch's own value, which nobody else changes until the transaction ends; none: it has none of its own."""
    transaction.execute(_ONE_AT_A_TIME, {"switch": f"totara_bridge.setting.{scope}.{name}"})
    return transaction.execute(
        select(SettingRow.value).where(SettingRow.scope == scope, SettingRow.name == name)
    ).scalar_one_or_none()


def write(transaction: Transaction, *, scope: str = EVERYWHERE, name: str, value: Any, by: str, now: datetime) -> None:
    """Set one switch. It is stored as it was understood: whoever reads the table need not know every spelling.

    :raises ConfigurationInvalid: there is no such switch, or not of a destination, or the value is out of its bounds.
    """
    if name not in Settings.model_fields:
        raise ConfigurationInvalid(
            f"There is no setting {name!r}: choose one of {', '.join(sorted(Settings.model_fields))}."
        )
    if scope != EVERYWHERE and name in ONLY_FOR_ALL:
        raise ConfigurationInvalid(f"The setting {name} counts for all only: set it without a destination.")
    value = _checked({name: value}, scope).model_dump(mode="json")[name]
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
    before = alone(transaction, scope=scope, name=name)  # what whoever changes the same switch now has left
    if before != value:
        details = {"scope": scope, "from": _for_audit(name, before), "to": _for_audit(name, value)}
        audit.record(transaction, actor=by, action="setting", subject=name, details=details, now=now)


_ONE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(hashtextextended(:switch, 0))")


def _for_audit(name: str, value: Any) -> Any:
    """The value as anybody may read it: of alert channels without people's addresses."""
    if name != "alert_channels" or value is None:
        return value
    try:
        return [channel.for_audit() for channel in Settings(alert_channels=value).alert_channels]
    except ValidationError:  # an older bridge let it in: it may hold a secret
        return "not valid"


def _checked(values: dict[str, Any], scope: str) -> Settings:
    try:
        return Settings(**values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ConfigurationInvalid(
            f"The setting {'.'.join(str(part) for part in first['loc'])} of {scope} is not valid: {first['msg']}."
        ) from error
