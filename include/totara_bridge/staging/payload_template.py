"""Which payload templates were used: a name and version mean one definition for ever."""

from datetime import datetime

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from totara_bridge.errors import ConfigurationInvalid
from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.schema import PayloadTemplateRow
from totara_bridge.template import Template


def register(transaction: Transaction, template: Template, now: datetime) -> None:
    """Store what the template says at its first use; later, see that it still says the same.

    :raises ConfigurationInvalid: its fields or its list's name changed, and its version did not.
    """
    stored = select(PayloadTemplateRow.definition).where(
        PayloadTemplateRow.name == template.name, PayloadTemplateRow.version == template.version
    )
    definition = transaction.execute(stored).scalar_one_or_none()
    if definition is None:
        new = insert(PayloadTemplateRow).values(
            name=template.name, version=template.version, definition=template.definition, first_used_at=now
        )
        transaction.execute(new.on_conflict_do_nothing())
        definition = transaction.execute(stored).scalar_one()  # another process may have been faster
    if definition != template.definition:
        raise ConfigurationInvalid(
            f"The template {template.name} is still version {template.version} but its fields changed: raise its "
            "version in bridge.toml."
        )
