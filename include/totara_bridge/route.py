"""A destination's route: which completions are sent to it. The query of a Totara connection limits what is read."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from totara_bridge.completion import storable

SiteCode = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,8}$")]
CategoryId = Annotated[int, Field(ge=1, lt=2**63, strict=True)]
Word = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True), AfterValidator(storable)]


class Route(BaseModel):
    """What a completion has to be to go to a destination: it meets each criterion that is set.

    It meets a criterion when one entry of the list fits (with ``not_``: when none does). A criterion that is not set
    is met by all; an empty list is refused, as nobody can tell whether it was to mean all or none. In patterns ``*``
    stands for any text and ``?`` for one character; upper and lower case are the same.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    sites: Annotated[tuple[SiteCode, ...], Field(min_length=1)] = ()
    """Codes of sites."""

    categories: Annotated[tuple[CategoryId, ...], Field(min_length=1)] = ()
    """Totara's ids of course categories; courses in the categories below them are included."""

    courses: Annotated[tuple[Word, ...], Field(min_length=1)] = ()
    """Patterns for a course's short name or id number."""

    not_courses: Annotated[tuple[Word, ...], Field(min_length=1)] = ()
    """Patterns for a course's short name or id number: these are not sent."""

    audiences: Annotated[tuple[Word, ...], Field(min_length=1)] = ()
    """Id numbers of Totara's audiences, to the letter: learners who are members of one of them."""

    learners: Annotated[tuple[Word, ...], Field(min_length=1)] = ()
    """Patterns for a learner's username, e-mail address or id number."""

    not_learners: Annotated[tuple[Word, ...], Field(min_length=1)] = ()
    """Patterns for a learner's username, e-mail address or id number: these are not sent."""

    statuses: Annotated[tuple[Literal["complete", "complete_rpl"], ...], Field(min_length=1)] = ()
    """How it was completed; ``complete_rpl`` is recognition of prior learning."""


#: A route that sets nothing.
EVERYTHING = Route()
