"""The query of a Totara connection limits what is read from that Totara: lists of names, never SQL.

A route in bridge.toml, in contrast, limits what is sent on.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

RowId = Annotated[int, Field(ge=1)]
IdNumber = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]


class ReadQuery(BaseModel):
    """Which completions a connection reads.

    An empty list limits nothing. A completion is read when it passes every list that is not empty; it passes
    a list when any entry of the list fits.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    course_ids: tuple[RowId, ...] = ()
    """Totara's ``course.id``: the number in the address of a course's page."""

    category_ids: tuple[RowId, ...] = ()
    """Totara's ``course.category``: courses directly in these, not in the categories below them."""

    audience_idnumbers: tuple[IdNumber, ...] = ()
    """Totara's ``cohort.idnumber``: learners who are members of one of these audiences now."""

    learner_idnumbers: tuple[IdNumber, ...] = ()
    """Totara's ``user.idnumber``: the ID number in a learner's profile."""

    @property
    def reads_everything(self) -> bool:
        """Whether it limits nothing."""
        return self == ReadQuery()
