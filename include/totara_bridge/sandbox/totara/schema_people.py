"""The tables of who learns: users, their fields and jobs, organisations, positions, audiences."""

from typing import Any

from sqlalchemy import Column

from totara_bridge.sandbox.totara.schema_columns import Definition, big, long_text, required, small, text


def _user() -> Definition:
    columns = [
        *text(20, "auth", default="manual"),
        *small("confirmed", "policyagreed", "deleted", "suspended"),
        *big("mnethostid", default=1),
        *text(100, "username", "firstname", "lastname", "email"),
        *text(255, "password", "idnumber"),
        *small("emailstop"),
        *text(50, "skype", "theme"),
        *text(20, "phone1", "phone2"),
        *text(255, "institution", "department", "address", "url"),
        *text(120, "city"),
        *text(2, "country"),
        *text(30, "lang", default="en"),
        *text(30, "calendartype", default="gregorian"),
        *text(100, "timezone", default="99"),
        *big("firstaccess", "lastaccess", "lastlogin", "currentlogin", "picture"),
        *text(45, "lastip"),
        *text(15, "secret"),
        *long_text("description"),
        *small("descriptionformat", "mailformat", "autosubscribe", default=1),
        *small("maildisplay", default=2),
        *small("maildigest", "trackforums", "totarasync"),
        *big("timecreated", "timemodified", "trustbitmask"),
        *text(255, "imagealt", "middlename", "alternatename", default=None),
        *text(255, "firstnamephonetic", "lastnamephonetic", default=None),
        *big("tenantid", default=None),
    ]
    return Definition(
        "user",
        columns,
        "use_uix:username alt_ix:alternatename aut_ix:auth cit_ix:city con_ix:confirmed cou_ix:country "
        "del_ix:deleted ema_ix:email fir_ix:firstname fir2_ix:firstnamephonetic idn_ix:idnumber "
        "las_ix:lastname las2_ix:lastaccess las3_ix:lastnamephonetic mid_ix:middlename sus_ix:suspended "
        "ten_ix:tenantid tot_ix:totarasync",
    )


def _user_info_field() -> Definition:
    columns = [
        *text(255, "shortname", "datatype"),
        *long_text("name", nullable=False),
        *big("categoryid", "sortorder"),
        *small("required", "locked", "visible", "forceunique"),
    ]
    return Definition("userinfofiel", columns, "")


def _user_info_data() -> Definition:
    columns = [*big("userid", "fieldid"), *long_text("data", nullable=False), *small("dataformat")]
    return Definition("userinfodata", columns, "usefie_uix:userid,fieldid")


def _cohort() -> Definition:
    columns = [
        *required("contextid"),
        *text(254, "name"),
        *text(100, "idnumber", default=None),
        *long_text("description"),
        *small("descriptionformat"),
        *small("visible", default=1),
        *text(100, "component"),
        *required("timecreated", "timemodified"),
        *big("cohorttype", default=1),
        *big("modifierid"),
        *small("visibility", "alertmembers", "active", "broken"),
        *small("calculationstatus", default=1),
        *big("startdate", "enddate", "activecollectionid", "draftcollectionid", default=None),
    ]
    return Definition("coho", columns, "con_ix:contextid")


def _cohort_members() -> Definition:
    columns = big("cohortid", "userid", "timeadded")
    return Definition("cohomemb", columns, "cohuse_uix:cohortid,userid coh_ix:cohortid use_ix:userid")


def _job_assignment() -> Definition:
    columns = [
        *required("userid"),
        *text(255, "fullname", default=None),
        *text(100, "idnumber"),
        *big("startdate", "enddate", "positionid", "organisationid", default=None),
        *required("timecreated", "timemodified"),
        *big("usermodified"),
        *big("sortorder", default=1),
    ]
    return Definition("jobassi", columns, "useidn_uix:userid,idnumber use_ix:userid")


def _org() -> Definition:
    return Definition("org", _hierarchy_item(), "fra_ix:frameworkid par_ix:parentid")


def _pos() -> Definition:
    return Definition("pos", _hierarchy_item(), "fra_ix:frameworkid par_ix:parentid")


def _hierarchy_item() -> list[Column[Any]]:
    return [
        *text(1024, "fullname"),
        *text(255, "shortname"),
        *text(100, "idnumber", default=None),
        *big("frameworkid", "parentid"),
        *small("visible", default=1),
        *big("timecreated", "timemodified"),
    ]


DEFINITIONS = {
    "user": _user,
    "user_info_field": _user_info_field,
    "user_info_data": _user_info_data,
    "cohort": _cohort,
    "cohort_members": _cohort_members,
    "job_assignment": _job_assignment,
    "org": _org,
    "pos": _pos,
}
