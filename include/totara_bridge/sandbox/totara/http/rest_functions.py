"""The web service functions that the site answers, and what each takes."""

from collections.abc import Callable
from typing import Any

from totara_bridge.sandbox.totara.http import (
    rest_audiences,
    rest_completion,
    rest_courses,
    rest_enrolments,
    rest_site,
    rest_users,
)
from totara_bridge.sandbox.totara.http.rest_call import Call
from totara_bridge.sandbox.totara.http.rest_parameters import Structure

FUNCTIONS: dict[str, tuple[Structure, Callable[[Call], Any]]] = {
    "core_webservice_get_site_info": (rest_site.SITE_INFO, rest_site.site_info),
    "core_course_get_courses": (rest_courses.GET_COURSES, rest_courses.get_courses),
    "core_course_get_courses_by_field": (rest_courses.GET_COURSES_BY_FIELD, rest_courses.get_courses_by_field),
    "core_course_get_categories": (rest_courses.GET_CATEGORIES, rest_courses.get_categories),
    "core_enrol_get_enrolled_users": (rest_enrolments.ENROLLED_USERS, rest_enrolments.enrolled_users),
    "core_enrol_get_users_courses": (rest_enrolments.USERS_COURSES, rest_enrolments.users_courses),
    "core_completion_get_course_completion_status": (
        rest_completion.COMPLETION_STATUS,
        rest_completion.completion_status,
    ),
    "core_user_get_users_by_field": (rest_users.USERS_BY_FIELD, rest_users.users_by_field),
    "core_user_get_users": (rest_users.GET_USERS, rest_users.get_users),
    "core_cohort_get_cohorts": (rest_audiences.COHORTS, rest_audiences.cohorts),
    "core_cohort_get_cohort_members": (rest_audiences.COHORT_MEMBERS, rest_audiences.cohort_members),
}
