"""How a report of completions is read: which report, which of its columns means what, and in whose words."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, field_validator

from totara_bridge.completion import Status, storable

Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]

#: What a column of a report can mean.
ColumnName = Literal[
    "user_id", "username", "id_number", "email", "first_name", "last_name", "course_id", "short_name",
    "course_id_number", "full_name", "status", "time_enrolled", "time_started", "time_completed", "rpl", "grade",
    "progress", "time_zone",
]  # fmt: skip


class Report(BaseModel):
    """A report of Totara's report builder with the source Course completion.

    ``report_query`` asks Totara for it by its id; ``report_file`` takes the CSV files of its schedule.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[int, Field(ge=1)] | None = None
    """The number in the address of the report's page; for ``report_query``."""

    saved_search: Annotated[int, Field(ge=1)] | None = None
    """A saved search, owned by or shared with the API's user; for ``report_query``."""

    place: Annotated[str, StringConstraints(strip_whitespace=True), AfterValidator(storable)] = ""
    """A folder, with a pattern of names (``/exports/*/Completions_*.csv``), or an ``https://`` address; for
    ``report_file``."""

    columns: dict[ColumnName, Text] = {}
    """What is called otherwise than Totara's own keys (``user_id``, ``course_completion_status``)."""

    words: dict[Text, Status] = {}
    """Words of the status column in the report's language, over the English ones."""

    months: tuple[Text, ...] = ()
    """The twelve names of the months in the report's language, over the English ones."""

    whole: bool = False
    """Whether the report shows all that Totara has: only then is gone what it does not show."""

    @field_validator("months")
    @classmethod
    def _twelve(cls, months: tuple[str, ...]) -> tuple[str, ...]:
        if months and len(set(months)) != 12:
            raise ValueError("there are twelve months: name each, from January on")
        return months
