"""The criteria of a route as SQL, each defined once: enqueue, backfill, its count and why-not use the same words.

The conditions are over the aliases of `totara_bridge.staging.deliverable`: ``i`` instance, ``l`` learner, ``k`` course.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from totara_bridge.route import Route

#: With this the names of the conditions' parameters begin.
PREFIX = "route"


@dataclass(frozen=True)
class Criterion:
    """One criterion of a route."""

    name: str  #: the field of `Route`
    condition: str  #: SQL: the instance meets it; never NULL
    words: str  #: why a completion that does not meet it is not sent

    @property
    def parameter(self) -> str:
        """The name under which the condition expects the route's list."""
        return f"route_{self.name}"


CRITERIA = (
    Criterion("sites", "i.site = ANY(:route_sites)", "its site is not {}"),
    Criterion(
        "categories",
        # the category itself too: a course that was staged before its path was has none
        """coalesce(k.category_id = ANY(:route_categories)
                    OR string_to_array(k.category_path, '/') && cast(:route_categories AS text[]), false)""",
        "its course is not in the category {}, nor below it",
    ),
    Criterion(
        "courses",
        """(coalesce(k.short_name, '') ILIKE ANY(:route_courses)
            OR coalesce(k.id_number, '') ILIKE ANY(:route_courses))""",
        "neither short name nor id number of its course fits {}",
    ),
    Criterion(
        "not_courses",
        """NOT (coalesce(k.short_name, '') ILIKE ANY(:route_not_courses)
                OR coalesce(k.id_number, '') ILIKE ANY(:route_not_courses))""",
        "short name or id number of its course fits {}",
    ),
    Criterion(
        "audiences",
        """EXISTS (SELECT FROM bridge.audience_member m
                   WHERE m.site = i.site AND m.user_id = i.user_id AND m.audience = ANY(:route_audiences))""",
        "its learner is not in the audience {}, as last read",
    ),
    Criterion(
        "learners",
        """(coalesce(l.username, '') ILIKE ANY(:route_learners) OR coalesce(l.email, '') ILIKE ANY(:route_learners)
            OR coalesce(l.id_number, '') ILIKE ANY(:route_learners))""",
        "neither username, e-mail address nor id number of its learner fits {}",
    ),
    Criterion(
        "not_learners",
        """NOT (coalesce(l.username, '') ILIKE ANY(:route_not_learners)
                OR coalesce(l.email, '') ILIKE ANY(:route_not_learners)
                OR coalesce(l.id_number, '') ILIKE ANY(:route_not_learners))""",
        "username, e-mail address or id number of its learner fits {}",
    ),
    Criterion("statuses", "i.status = ANY(:route_statuses)", "its status is not {}"),
)

_PATTERNS = {"courses", "not_courses", "learners", "not_learners"}
_AS_LIKE = str.maketrans({"\\": "\\\\", "%": "\\%", "_": "\\_", "*": "%", "?": "_"})


def criteria(route: Route) -> Sequence[Criterion]:
    """The criteria that the route sets."""
    return [each for each in CRITERIA if getattr(route, each.name)]


def condition(route: Route, prefix: str = PREFIX) -> str:
    """SQL: the instance is on the route; one that sets nothing adds nothing.

    :param prefix: of its parameters' names; two routes in one statement need two.
    """
    return "".join(f" AND {each.condition.replace(f':{PREFIX}_', f':{prefix}_')}" for each in criteria(route))


def values(route: Route, prefix: str = PREFIX) -> dict[str, object]:
    """What the conditions of the route expect as parameters."""
    return {
        f"{prefix}_{each.name}": [
            entry.translate(_AS_LIKE) if each.name in _PATTERNS else entry for entry in getattr(route, each.name)
        ]
        for each in criteria(route)
    }


def reason(route: Route, criterion: Criterion) -> str:
    """Why a completion that does not meet the criterion is not sent."""
    return criterion.words.format(" or ".join(str(entry) for entry in getattr(route, criterion.name)))
