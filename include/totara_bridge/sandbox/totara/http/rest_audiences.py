"""Audiences and who is in them."""

from sqlalchemy import select, true

from totara_bridge.sandbox.totara.http.rest_call import Call, Row, formatted
from totara_bridge.sandbox.totara.http.rest_parameters import Scalar, Several, Structure, integer

COHORTS = Structure({"cohortids": Several(Scalar(integer), default=())})
COHORT_MEMBERS = Structure({"cohortids": Several(Scalar(integer))})


def cohorts(call: Call) -> list[Row]:
    """All audiences, or those asked for."""
    cohort, ids = call.tables.cohort, call.parameters["cohortids"]
    call.require("moodle/cohort:view")
    found = select(cohort).where(cohort.c.id.in_(ids) if ids else true()).order_by(cohort.c.id)
    return [
        {
            "id": one["id"],
            "name": formatted(one["name"]),
            "idnumber": one["idnumber"] or "",
            "description": one["description"] or "",
            "descriptionformat": 1,
            "visible": bool(one["visible"]),
        }
        for one in call.rows(found)
    ]


def cohort_members(call: Call) -> list[Row]:
    """The ids of the members of each audience asked for; Totara leaves their order to its database."""
    cohort, member, user = call.tables.cohort, call.tables.cohort_members, call.tables.user
    answer = []
    for audience in call.parameters["cohortids"]:
        call.the(select(cohort.c.id).where(cohort.c.id == audience))
        call.require("moodle/cohort:view")
        found = (
            select(member.c.userid)
            .join(user, user.c.id == member.c.userid)
            .where(member.c.cohortid == audience, user.c.deleted == 0)
            .order_by(member.c.id)
        )
        answer.append({"cohortid": audience, "userids": [row["userid"] for row in call.rows(found)]})
    return answer
