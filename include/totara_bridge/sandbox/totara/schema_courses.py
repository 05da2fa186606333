"""The tables of what is learned: courses, enrolments, completions, their history, change log and criteria."""

from sqlalchemy import Column, Integer

from totara_bridge.sandbox.totara.schema_columns import (
    Definition,
    big,
    decimal,
    long_text,
    required,
    small,
    small_or_null,
    text,
)


def _course() -> Definition:
    columns = [
        *big("category", "sortorder"),
        *text(1333, "fullname"),
        *text(255, "shortname"),
        *text(100, "idnumber"),
        *long_text("summary"),
        *small("summaryformat"),
        *text(21, "format", default="topics"),
        *small("showgrades", "visible", "visibleold", default=1),
        Column("newsitems", Integer(), nullable=False, server_default="1"),
        *big("startdate", "enddate", "marker", "maxbytes", "defaultgroupingid", "cacherev"),
        *small("legacyfiles", "showreports", "groupmode", "groupmodeforce", "requested"),
        *text(30, "lang", "calendartype"),
        *text(50, "theme"),
        *big("timecreated", "timemodified"),
        *small("enablecompletion", "completionstartonenrol", "completionprogressonview"),
        *small("completionnotify", "coursetype"),
        *small("audiencevisible", default=2),
        *text(255, "icon", default=None),
        *text(255, "containertype", default="container_course"),
        *big("duedate", default=None),
        *small("duedateoffsetamount", "duedateoffsetunit", default=None),
    ]
    return Definition(
        "cour",
        columns,
        "aud_ix:audiencevisible catsor_ix:category,sortorder con_ix:containertype idn_ix:idnumber "
        "sho_ix:shortname sor_ix:sortorder",
    )


def _course_categories() -> Definition:
    columns = [
        *text(255, "name"),
        *text(100, "idnumber", default=None),
        *big("parent", "sortorder", "coursecount"),
        *small("visible", default=1),
        *big("timemodified", "depth"),
        *text(255, "path"),
    ]
    return Definition("courcate", columns, "par_ix:parent")


def _enrol() -> Definition:
    columns = [
        *text(20, "enrol"),
        *big("status"),
        *required("courseid"),
        *big("sortorder"),
        *text(255, "name", default=None),
        *big("timecreated", "timemodified"),
    ]
    return Definition("enro", columns, "cou_ix:courseid enr_ix:enrol")


def _user_enrolments() -> Definition:
    columns = [
        *big("status"),
        *required("enrolid", "userid"),
        *big("timestart"),
        *big("timeend", default=2147483647),
        *big("modifierid", "timecreated", "timemodified"),
    ]
    indexes = "enruse_uix:enrolid,userid enr_ix:enrolid mod_ix:modifierid use_ix:userid"
    return Definition("userenro", columns, indexes)


def _course_completions() -> Definition:
    columns = [
        *big("userid", "course"),
        *big("organisationid", "positionid", default=None),
        *big("timeenrolled", "timestarted"),
        *big("timecompleted", default=None),
        *big("reaggregate"),
        *text(255, "rpl", default=None),
        *decimal("rplgrade"),
        *small("status"),
        *small_or_null("invalidatecache", "renewalstatus"),
        *big("duedate", default=None),
    ]
    indexes = "usecou_uix:userid,course cou_ix:course sta_ix:status tim_ix:timecompleted use_ix:userid"
    return Definition("courcomp", columns, indexes)


def _course_completion_history() -> Definition:
    columns = [*required("courseid", "userid"), *big("timecompleted", default=None), *decimal("grade")]
    return Definition("courcomphist", columns, "cou_ix:courseid use_ix:userid usecou_ix:userid,courseid")


def _course_completion_log() -> Definition:
    columns = [
        *required("courseid"),
        *big("userid", "changeuserid", default=None),
        *long_text("description", nullable=False),
        *required("timemodified"),
    ]
    return Definition("courcomplog", columns, "cha_ix:changeuserid cou_ix:courseid use_ix:userid")


def _course_completion_criteria() -> Definition:
    columns = [
        *big("course", "criteriatype"),
        *text(100, "module", default=None),
        *big("moduleinstance", "courseinstance", "enrolperiod", "timeend", "role", default=None),
        *decimal("gradepass"),
    ]
    return Definition("courcompcrit", columns, "cou_ix:course mod_ix:moduleinstance")


def _course_completion_crit_compl() -> Definition:
    columns = [
        *big("userid", "course", "criteriaid"),
        *decimal("gradefinal"),
        *big("unenroled", default=None),
        *text(255, "rpl", default=None),
        *big("timecompleted", default=None),
    ]
    indexes = "useco_uix:userid,course,criteriaid cou_ix:course cri_ix:criteriaid tim_ix:timecompleted"
    return Definition("courcompcritcomp", columns, f"{indexes} use_ix:userid")


def _config() -> Definition:
    return Definition("conf", [*text(255, "name"), *long_text("value", nullable=False)], "nam_uix:name")


DEFINITIONS = {
    "course": _course,
    "course_categories": _course_categories,
    "enrol": _enrol,
    "user_enrolments": _user_enrolments,
    "course_completions": _course_completions,
    "course_completion_history": _course_completion_history,
    "course_completion_log": _course_completion_log,
    "course_completion_criteria": _course_completion_criteria,
    "course_completion_crit_compl": _course_completion_crit_compl,
    "config": _config,
}
