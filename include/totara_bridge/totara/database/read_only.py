"""Nothing is written to Totara's database, whatever the account of the Connection may do there."""

import sqlalchemy as sa


def only_read(database: sa.Connection) -> None:
    """Have the server refuse what this session would write, in its transactions from now on."""
    characteristics = "CHARACTERISTICS AS " if database.dialect.name == "postgresql" else ""
    database.execute(sa.text(f"SET SESSION {characteristics}TRANSACTION READ ONLY"))
