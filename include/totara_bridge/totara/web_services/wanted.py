"""Which courses and learners a crawl asks about: those that the connection's query lets through."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from totara_bridge.errors import ConfigurationInvalid, TotaraRefused
from totara_bridge.totara.query import ReadQuery
from totara_bridge.totara.web_services.audiences import Audiences
from totara_bridge.totara.web_services.permissions import SITE_COURSE, Access


def reads_course(query: ReadQuery, course: Mapping[str, Any]) -> bool:
    """Whether its learners are asked for; not where completion is known to be off."""
    return (
        course["id"] != SITE_COURSE
        and course.get("enablecompletion") != 0
        and (not query.course_ids or course["id"] in query.course_ids)
        and (not query.category_ids or course["categoryid"] in query.category_ids)
    )


@dataclass(frozen=True)
class WantedLearners:
    """The query's learners, with its audiences as their members."""

    query: ReadQuery
    members: frozenset[int]

    @classmethod
    def by(cls, query: ReadQuery, access: Access, audiences: Audiences) -> Self:
        """What the query lets through.

        :raises ConfigurationInvalid: it names what web services do not show.
        """
        if query.learner_idnumbers and access.saw_learners and "id_number" not in access.learner_columns:
            raise ConfigurationInvalid(
                'The connection\'s query has "learner_idnumbers", but web services do not show id numbers of learners '
                f"to the token's user {access.user}: give a role of this user the capability "
                'moodle/site:viewuseridentity for the whole site, or take "learner_idnumbers" out of the query.'
            )
        members: frozenset[int] = frozenset()
        if query.audience_idnumbers:
            try:
                members = frozenset(user for user, _ in audiences.members(query.audience_idnumbers))
            except TotaraRefused as refused:
                raise ConfigurationInvalid(
                    f'The connection\'s query has "audience_idnumbers", which cannot be applied: {refused}'
                ) from refused
        return cls(query, members)

    def includes(self, learner: Mapping[str, Any]) -> bool:
        """Whether this one's completions are asked for."""
        query = self.query
        return (not query.audience_idnumbers or learner["id"] in self.members) and (
            not query.learner_idnumbers or learner.get("idnumber", "") in query.learner_idnumbers
        )
