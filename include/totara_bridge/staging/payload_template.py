"""Which payload templates were used: a name and version mean one definition for ever."""

from datetime import datetime

from sqlalchemy import literal, select
from sqlalchemy.dialects.postgresql import JSONB, insert

from totara_bridge.errors import ConfigurationInvalid
from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.schema import PayloadTemplateRow
from totara_bridge.template import Template


def register(transaction: Transaction, template: Template, now: datetime) -> None:
    """Store what the template says at its first use; later, see that it still says the same.

    :raises ConfigurationInvalid: its fields or its list's name changed, and its version did not.
    """
    definition = literal(template.definition, JSONB)  # compared as JSON: in Python 1 equals true
    unchanged = select(PayloadTemplateRow.definition == definition).where(
        PayloadTemplateRow.name == template.name, PayloadTemplateRow.version == template.version
    )
    same = transaction.execute(unchanged).scalar_one_or_none()
    if same is None:
        row = {"name": template.name, "version": template.version, "definition": definition, "first_used_at": now}
        transaction.execute(insert(PayloadTemplateRow).values(row).on_conflict_do_nothing())
        same = transaction.execute(unchanged).scalar_one()  # another process may have been faster
    if not same:
        raise ConfigurationInvalid(
            f"The template {template.name} is still version {template.version} but its fields changed: raise its "
            "version in bridge.toml."
        )
