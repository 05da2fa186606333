"""A scheduled report at a plain address: as a site gives its export folder to the outside by its web server."""

from dataclasses import dataclass, field
from email.utils import formatdate
from typing import cast

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from totara_bridge.sandbox.totara.http.site import Site
from totara_bridge.sandbox.totara.report_builder import Schedule, exported

PATH = "/exports/completions.csv"


@dataclass
class ReportSwitches:
    """What the address gives, and to whom."""

    schedule: Schedule = field(default_factory=Schedule)
    authorization: str = ""  #: what the header of that name must be, such as ``Bearer …``; empty: it may be anything
    without_end: int = 0  #: so many bytes of the file are not there yet


def switches(site: Site) -> ReportSwitches:
    """Those of the site."""
    return cast("ReportSwitches", site.extras.setdefault("reports", ReportSwitches()))


def routes(site: Site) -> list[Route]:
    """The address of the file."""

    def give(request: Request) -> Response:
        now = switches(site)
        if now.authorization and request.headers.get("authorization") != now.authorization:
            return Response("", 401, {"WWW-Authenticate": "Bearer"})
        content = exported(site.engine, site.tables, now.schedule)
        if content is None:
            return Response("", 404)
        written = {"Last-Modified": formatdate(site.now(), usegmt=True)}
        return Response(content[: len(content) - now.without_end], 200, written, "text/csv")

    return [Route(PATH, give, methods=["GET"])]
