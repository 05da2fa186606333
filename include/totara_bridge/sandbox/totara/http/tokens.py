"""Who may call the web services: tokens, the external service that they belong to, and what their users may do."""

from dataclasses import dataclass

#: The token of ``python -m totara_bridge.sandbox.totara.http``, and of a site that nobody switched.
REST_TOKEN = "5a4db0f10000000000000000c0ffee00"  # noqa: S105  the sandbox's own
#: The user of the recorded site whose token it is.
SERVICE_USER = 203

#: What Totara calls each capability when it refuses a call for the lack of it.
CAPABILITIES = {
    "webservice/rest:use": "Use REST protocol",
    "moodle/course:view": "View courses without participation",
    "moodle/course:viewhiddencourses": "View hidden courses",
    "moodle/course:update": "Update course settings",
    "moodle/course:viewparticipants": "View participants",
    "moodle/course:enrolreview": "Review course enrolments",
    "moodle/cohort:view": "View audiences",
    "moodle/user:viewalldetails": "View user full information",
    "moodle/site:viewuseridentity": "See full user identity in lists",
    "moodle/site:viewfullnames": "Always see full names of users",
    "moodle/site:maintenanceaccess": "Access site while in maintenance mode",
    "report/completion:view": "View course completion report",
}
#: What the recorded token's user could do at first; ``moodle/course:update`` came later.
RECORDED_CAPABILITIES = frozenset(CAPABILITIES) - {
    "moodle/course:update",
    "moodle/site:viewfullnames",
    "moodle/site:maintenanceaccess",
}

#: The functions that an administrator adds to the external service for the bridge.
BRIDGE_FUNCTIONS = frozenset(
    {
        "core_webservice_get_site_info",
        "core_course_get_courses",
        "core_course_get_courses_by_field",
        "core_course_get_categories",
        "core_enrol_get_enrolled_users",
        "core_enrol_get_users_courses",
        "core_completion_get_course_completion_status",
        "core_user_get_users_by_field",
        "core_user_get_users",
        "core_cohort_get_cohorts",
        "core_cohort_get_cohort_members",
    }
)


@dataclass(frozen=True)
class Service:
    """An external service: the functions that its tokens may call."""

    functions: frozenset[str] = BRIDGE_FUNCTIONS
    enabled: bool = True
    restricted_users: frozenset[int] | None = None  #: who alone may use it; none: everybody with a token


@dataclass(frozen=True)
class RestToken:
    """What the site knows of a token."""

    user_id: int = SERVICE_USER
    expires_at: float | None = None  #: Unix seconds
    allowed_ips: frozenset[str] | None = None  #: none: every address
    capabilities: frozenset[str] = RECORDED_CAPABILITIES
    service: Service | None = None  #: none: the service of the site's switches


def first_tokens() -> dict[str, RestToken]:
    """The documented token, with what the recorded one could do."""
    return {REST_TOKEN: RestToken()}
