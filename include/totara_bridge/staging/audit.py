"""The audit log: what people changed or had done."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, insert, select

from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.schema import AuditRow


def record(
    transaction: Transaction, *, actor: str, action: str, subject: str, details: dict[str, Any], now: datetime
) -> None:
    """Write down who had what done, in the transaction that does it.

    :param details: JSON, without secrets and without names of learners.
    """
    row = {"at": now, "actor": actor, "action": action, "subject": subject, "details": details}
    transaction.execute(insert(AuditRow).values(row))


def recorded(transaction: Transaction, *, action: str, subject: str, at: datetime) -> bool:
    """Whether that was written down already: by the same run, before it was tried again."""
    row = select(AuditRow.id).where(AuditRow.at == at, AuditRow.action == action, AuditRow.subject == subject)
    return transaction.execute(row.limit(1)).first() is not None


def since(transaction: Transaction, *, subject: str, at: datetime) -> Sequence[Row[Any]]:
    """What was done with the subject at that time and later, the oldest first: at, actor, action and details."""
    columns = select(AuditRow.at, AuditRow.actor, AuditRow.action, AuditRow.details)
    return transaction.execute(
        columns.where(AuditRow.subject == subject, AuditRow.at >= at).order_by(AuditRow.id)
    ).all()
