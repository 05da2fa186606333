"""What all sides ask of Totara's database: the bridge's own statements."""

from dataclasses import dataclass

import sqlalchemy as sa

from totara_bridge.completion import COMPLETION_COLUMNS, COURSE_COLUMNS, HISTORY_COLUMNS, LEARNER_COLUMNS
from totara_bridge.totara.database.catalogue import Catalogue
from totara_bridge.totara.database.statements import Statement, Statements
from totara_bridge.totara.query import ReadQuery


@dataclass(frozen=True)
class Select:
    """One kind of record."""

    columns: tuple[str, ...]
    key: tuple[str, ...]
    text: str  #: PostgreSQL's


def selects() -> dict[str, Select]:
    """Of the whole site, by the name of the record."""
    asked = Statements(Catalogue.of_everything("ttr_"), ReadQuery())
    postgresql = sa.create_engine("postgresql+psycopg://")

    def compiled(statement: Statement) -> str:
        return str(statement.compile(postgresql, compile_kwargs={"literal_binds": True}))

    return {
        "learner": Select(LEARNER_COLUMNS, ("user_id",), compiled(asked.learners(None))),
        "course": Select(COURSE_COLUMNS, ("course_id",), compiled(asked.courses(None))),
        "history": Select(HISTORY_COLUMNS, ("history_id",), compiled(asked.history(None))),
        "completion": Select(COMPLETION_COLUMNS, ("user_id", "course_id"), compiled(asked.completions(None))),
    }
