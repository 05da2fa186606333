"""``POST /api/graphql.php``: the external API of a Totara 17.3 as recorded, or of a 19.1 if switched.

Nearly every error is answered with HTTP 200; only a switched-off feature, another method than POST (400) and too
many requests (429, without a Retry-After) are not. Maintenance mode does not stop it.
"""

import json
from collections.abc import Mapping
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from totara_bridge.sandbox.totara.http import graphql_jobs, graphql_report, graphql_users, oauth
from totara_bridge.sandbox.totara.http.graphql_dates import DATE_ARGUMENTS, shown
from totara_bridge.sandbox.totara.http.graphql_execution import Execution, FieldError, FieldType, Schema, described
from totara_bridge.sandbox.totara.http.graphql_input import VariableError, variables_of
from totara_bridge.sandbox.totara.http.graphql_limits import Minute
from totara_bridge.sandbox.totara.http.graphql_query import Field, GraphqlSyntaxError, Operation, parse
from totara_bridge.sandbox.totara.http.graphql_switches import GraphqlSwitches, Report, SavedSearch, graphql_switches
from totara_bridge.sandbox.totara.http.site import Site

__all__ = ["PATH", "GraphqlSwitches", "Report", "SavedSearch", "graphql_switches", "routes"]
PATH = "/api/graphql.php"
_HEADERS = {
    "Content-Type": "application/json; charset=utf-8",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store, no-cache, must-revalidate, post-check=0, pre-check=0",
    "Pragma": "no-cache",
    "Expires": "Mon, 20 Aug 1969 09:23:00 GMT",
    "Accept-Ranges": "none",
}
_NO_HEADER = (
    "The request did not contain the required Authorization header. Ensure you set the header in your request and "
    "that it is not being stripped by your server or proxy configuration."
)
_NOT_LET_IN = (
    "Missing, expired or invalid access token. Ensure the Authorization header is set to a valid Bearer token."
)
_EMPTY = FieldError("Invalid request, request cannot be empty")
_QUERIES: Mapping[str, FieldType] = {
    **graphql_users.QUERIES,
    **graphql_jobs.QUERIES,
    "totara_webapi_status": FieldType(
        "totara_webapi_status", resolve=lambda row, arguments, execution: {"status": "ok"}
    ),
    "__schema": FieldType("__Schema", required=True, resolve=lambda row, arguments, execution: {}),
}


def routes(site: Site) -> list[Route]:
    """The API's one address."""
    graphql_switches(site)
    minute = Minute()

    async def graphql(request: Request) -> Response:
        if request.method != "POST":
            return _refused(400, "Invalid webapi request, only POST method is allowed")
        body = await request.body()
        return await run_in_threadpool(_answer, site, minute, request.headers, body)

    return [Route(PATH, graphql, methods=["GET", "POST"])]


def _answer(site: Site, minute: Minute, headers: Mapping[str, str], body: bytes) -> Response:
    switches = graphql_switches(site)
    if not switches.feature_on:
        return _refused(400, "Feature api is not available.")
    reason = _refusal(site, switches, headers)
    if reason is not None:
        return _respond(_failed([described(FieldError(reason), switches)]))
    try:
        asked = json.loads(body)
    except ValueError:
        asked = None
    if not asked or not isinstance(asked, dict | list):
        return _respond(_failed([described(_EMPTY, switches)]))
    if minute.is_full(site.clock(), switches.complexity_per_minute):
        return _refused(429, "Too many requests")
    if isinstance(asked, list):
        return _respond([_one(site, minute, switches, each) for each in asked])
    return _respond(_one(site, minute, switches, asked))


def _refusal(site: Site, switches: GraphqlSwitches, headers: Mapping[str, str]) -> str | None:
    """Why nobody is let in with these headers."""
    if not headers.get("authorization"):
        return _NO_HEADER
    kind, _, token = headers["authorization"].partition(" ")
    if kind.lower() != "bearer" or not switches.client_on or not oauth.tokens(site).holds(token, site.clock()):
        return _NOT_LET_IN
    return "API user is invalid." if switches.service_account_suspended else None


def _one(site: Site, minute: Minute, switches: GraphqlSwitches, asked: Any) -> Any:
    if not isinstance(asked, dict):
        return _failed([described(_EMPTY, switches)])
    try:
        operation = parse(str(asked.get("query") or ""))
    except GraphqlSyntaxError as error:
        said = FieldError(message=str(error), category="graphql")
        return _failed([described(said, switches, location=error.location)])
    refused = _not_valid(operation, switches)
    if refused:
        return _failed(refused)
    schema = _schema(switches)
    try:
        variables = variables_of(operation, asked.get("variables") or {}, schema.inputs)
    except VariableError as error:
        return _failed([described(FieldError(str(error)), switches, location=error.location)])
    execution = Execution(site, switches, schema, variables)
    data = execution.run(operation)
    minute.add(site.clock(), execution.complexity)
    answer = _failed(execution.errors) if execution.errors else {}
    return answer if data is None else {**answer, "data": data}


def _not_valid(operation: Operation, switches: GraphqlSwitches) -> list[dict[str, Any]]:
    """What is wrong with an operation that can be read."""
    if operation.kind != "query":
        return [described(FieldError(message=f"This sandbox takes no {operation.kind}.", category="graphql"), switches)]
    if operation.depth() > switches.maximum_depth:
        words = f"Max query depth should be {switches.maximum_depth} but got {operation.depth()}."
        return [described(FieldError(message=words, category="graphql"), switches)]
    asks: list[Field] = [each for each in operation.selections if each.name in {"__schema", "__type"}]
    if asks and not switches.introspection_on:
        said = FieldError(message="GraphQL introspection is not enabled.", category="graphql")
        return [described(said, switches, location=asks[0].location)]
    return []


def _schema(switches: GraphqlSwitches) -> Schema:
    """What this release has; of the schema itself, the queries' names."""
    has_reports = switches.release >= graphql_report.SINCE
    queries = {**_QUERIES, **graphql_report.QUERIES} if has_reports else dict(_QUERIES)
    names = [{"name": name} for name in queries if not name.startswith("__")]
    own = {
        "totara_webapi_status": {
            "status": FieldType(required=True),
            "timestamp": FieldType(
                arguments=DATE_ARGUMENTS,
                resolve=lambda row, arguments, execution: shown(execution.site.now(), arguments, execution),
            ),
        },
        "__Schema": {"queryType": FieldType("__Type", required=True, resolve=lambda *_: {"name": "Query"})},
        "__Type": {
            "name": FieldType(),
            "fields": FieldType("__Field", many=True, resolve=lambda *_: names),
        },
        "__Field": {"name": FieldType(required=True)},
    }
    types = {"Query": queries, **own, **graphql_users.TYPES, **graphql_jobs.TYPES, **graphql_report.TYPES}
    return Schema(types, {**graphql_users.INPUTS, **graphql_jobs.INPUTS, **graphql_report.INPUTS})


def _failed(errors: list[dict[str, Any]]) -> dict[str, Any]:
    return {"errors": errors, "error": "\n".join(each["message"] for each in errors)}


def _refused(status: int, words: str) -> Response:
    return _respond(_failed([{"message": words}]), status)


def _respond(answer: Any, status: int = 200) -> Response:
    return Response(json.dumps(answer, ensure_ascii=False, separators=(",", ":")), status, _HEADERS)
