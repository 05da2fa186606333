"""``/webservice/rest/server.php``: Totara's Moodle-style web services.

An error is an answer with status 200 too, but where the services are off.
"""

from typing import Any
from urllib.parse import parse_qsl

from sqlalchemy import Connection, select
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from totara_bridge.sandbox.totara.http import rest_format
from totara_bridge.sandbox.totara.http.faulty import instead
from totara_bridge.sandbox.totara.http.refusal import (
    Refusal,
    bad_parameter,
    invalid_token,
    no_access,
    no_record,
    not_possible,
)
from totara_bridge.sandbox.totara.http.rest_call import Call, Row
from totara_bridge.sandbox.totara.http.rest_functions import FUNCTIONS
from totara_bridge.sandbox.totara.http.rest_parameters import nested, validated
from totara_bridge.sandbox.totara.http.rest_site import known_functions
from totara_bridge.sandbox.totara.http.site import Site
from totara_bridge.sandbox.totara.http.tokens import RestToken, Service

PATH = "/webservice/rest/server.php"
_TOKEN, _FUNCTION, _FORM = "wstoken", "wsfunction", "moodlewsrestformat"


def routes(site: Site) -> list[Route]:
    """The address."""

    async def server(request: Request) -> Response:
        fields = await _fields(request)
        function = fields.get(_FUNCTION, "")
        site.counted.note(function, {name: value for name, value in fields.items() if name != _TOKEN})
        ordered = await instead(site.faults.take(PATH, function)) if function else None
        address = request.client.host if request.client else ""
        if ordered is not None:
            return ordered
        return await run_in_threadpool(_answer, site, fields, address)

    return [Route(PATH, server, methods=["GET", "POST"])]


async def _fields(request: Request) -> dict[str, str]:
    """What came in the address and in the body; the body's has precedence."""
    body = (await request.body()).decode("utf-8", "replace")
    form = request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
    given = request.url.query + ("&" + body if form else "")
    return dict(parse_qsl(given, keep_blank_values=True))


def _answer(site: Site, fields: dict[str, str], address: str) -> Response:
    switches = site.switches
    if not (switches.web_services_on and switches.rest_on):
        return rest_format.off()
    form = "json" if fields.get(_FORM) == "json" else "xml"
    try:
        with site.engine.connect() as connection:
            return rest_format.answered(_value(site, connection, fields, address), form)
    except Refusal as refusal:
        return rest_format.refused(refusal, form, debugging=switches.debugging)
    except NotImplementedError as error:
        return Response(str(error), 501)


def _value(site: Site, connection: Connection, fields: dict[str, str], address: str) -> Any:
    token = _token(site, fields.get(_TOKEN, ""), address)
    user = _user(site, connection, token)
    function = fields.get(_FUNCTION, "")
    service = token.service or site.switches.service
    _check_function(function, service, token)
    if function not in FUNCTIONS:
        raise NotImplementedError(f"The sandbox Totara does not answer {function}: a real one would.")
    takes, gives = FUNCTIONS[function]
    given = [(name, value) for name, value in fields.items() if name not in {_TOKEN, _FUNCTION, _FORM}]
    parameters = validated(nested(given), takes)
    return gives(Call(site, connection, token, service, user, parameters))


def _token(site: Site, given: str, address: str) -> RestToken:
    token = site.switches.tokens.get(given)
    if token is None:
        raise invalid_token("There is no such token")
    if token.expires_at is not None and token.expires_at < site.clock():
        raise no_access("The token has expired")
    if token.allowed_ips is not None and address not in token.allowed_ips:
        raise no_access(f"The token does not hold for the address {address}")
    return token


def _user(site: Site, connection: Connection, token: RestToken) -> Row:
    found = connection.execute(select(site.tables.user).where(site.tables.user.c.id == token.user_id)).mappings()
    user = next((dict(row) for row in found), None)
    if user is None:
        raise no_record(f"There is no user {token.user_id}")
    if site.switches.maintenance and "moodle/site:maintenanceaccess" not in token.capabilities:
        message = "The site is undergoing maintenance and is currently not available"
        raise not_possible("sitemaintenance", message)
    if user["deleted"] or user["suspended"]:
        raise no_access(f"The user {user['username']} is deleted or suspended")
    if "webservice/rest:use" not in token.capabilities:
        raise no_access("The user may not use this protocol")
    return user


def _check_function(function: str, service: Service, token: RestToken) -> None:
    if not function:
        raise bad_parameter("The name of the function is missing")
    if function not in known_functions():
        raise no_record(f"There is no function {function}")
    if not service.enabled or function not in service.functions:
        raise no_access(f"The function {function} is in no service that is on")
    if service.restricted_users is not None and token.user_id not in service.restricted_users:
        raise no_access("The service is for certain users only")
