"""The audit log: what people changed or had done."""

from datetime import datetime
from typing import Any

from sqlalchemy import insert, select

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
