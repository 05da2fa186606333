"""Who may look, who may manage, and that a change comes from our own page: decided here for every address.

Airflow has a permission for neither, and its auth managers agree on those of DAGs: who may read the runs of
``push_completions`` may look, who may trigger ``requeue_completions`` may manage.
"""

from typing import Annotated
from urllib.parse import urlsplit

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_dag
from airflow.configuration import conf
from fastapi import Depends, Request

from totara_bridge.web.problem import Problem

_LOOKED_AT, _MANAGED = "push_completions", "requeue_completions"

#: For every address: without it, what is mounted in Airflow is open to all.
MAY_LOOK = Depends(requires_access_dag("GET", DagAccessEntity.RUN, _LOOKED_AT))

#: For every address that changes something, or shows what only managers need.
MAY_MANAGE = Depends(requires_access_dag("POST", DagAccessEntity.RUN, _MANAGED))


def manages(user: BaseUser) -> bool:
    """Whether this person may manage: for the page, which shows no button that would be refused."""
    return get_auth_manager().is_authorized_dag(
        method="POST", access_entity=DagAccessEntity.RUN, details=DagDetails(id=_MANAGED), user=user
    )


def _name(user: GetUserDep) -> str:
    return user.get_name()


#: The person who asks, as the audit log has them.
Person = Annotated[str, Depends(_name)]


def from_our_page(request: Request) -> None:
    """Refuse a change that another site has a person's browser send: it would bring the cookie along.

    Airflow has no token against that. Only a page of the same origin may send JSON without asking first, and a browser
    says where a request comes from: by ``Sec-Fetch-Site`` over TLS and on its own machine, else by ``Origin``.

    :raises Problem: it has no JSON body, or comes from elsewhere.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Problem(415, "not-json", "A change is sent as JSON: with Content-Type: application/json.")
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    # what a proxy has made of the host, only Airflow's own base_url can tell
    ours = {request.headers.get("host"), urlsplit(conf.get("api", "base_url", fallback="")).netloc} - {""}  # of "null"
    if site != "same-origin" if site else origin is not None and _host(origin) not in ours:
        raise Problem(403, "from-elsewhere", "This change did not come from Airflow's own page, so it was refused.")


def _host(origin: str) -> str:
    """With its port; nothing: the origin has none, or is none."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


#: For every address that changes something, besides `MAY_MANAGE`.
FROM_OUR_PAGE = Depends(from_our_page)
