"""Raise, resolve and look at alerts, as tests do."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, text

from totara_bridge.alert_name import AlertName
from totara_bridge.orchestration.notices import Sent, send_notices
from totara_bridge.staging import alert, setting

RAISED = datetime(2026, 3, 1, 4, 30, tzinfo=UTC)
RESOLVED = datetime(2026, 3, 1, 9, 15, tzinfo=UTC)

DOWN = AlertName.DESTINATION_DOWN


def use_channels(staging: Engine, channels: Iterable[dict[str, Any]]) -> None:
    """Let alerts go there."""
    with staging.begin() as transaction:
        setting.write(transaction, name="alert_channels", value=list(channels), by="test", now=RAISED)


def raise_down(staging: Engine, subject: str = "oracle", words: str = "It answers <503> & no more.") -> None:
    """A destination is down."""
    with staging.begin() as transaction:
        alert.raise_alert(transaction, name=DOWN, subject=subject, words=words, now=RAISED)


def resolve_down(staging: Engine, subject: str = "oracle") -> None:
    """It is up again."""
    with staging.begin() as transaction:
        assert alert.resolve(transaction, name=DOWN, subject=subject, now=RESOLVED)


def send(staging: Engine) -> Sent:
    """Tell the channels what is due."""
    return send_notices(staging, lambda: RESOLVED)


def rows(staging: Engine, statement: str) -> list[tuple[Any, ...]]:
    """What staging says."""
    with staging.connect() as connection:
        return [tuple(row) for row in connection.execute(text(statement))]


def alerts(staging: Engine) -> list[tuple[Any, ...]]:
    """Name, subject, words, and whether it is open."""
    return rows(staging, "SELECT name, subject, words, resolved_at IS NULL FROM bridge.alert ORDER BY id")
