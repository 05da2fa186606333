"""``POST /sandbox/switches`` changes how the site behaves; ``GET`` says what came: for another process than the site's.

The body is a JSON object: fields of `Switches` by their names; ``faults`` is a list of faults to wait for requests
instead of those before; the name of another part of the site (as ``graphql``) has an object of that part's switches.
"""

import dataclasses
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from totara_bridge.sandbox.totara.http.site import Fault, Site

#: Addresses below it are the sandbox's own: no fault meets them, and they are not counted.
PATH = "/sandbox/"


def routes(site: Site) -> list[Route]:
    """The addresses."""

    async def switches(request: Request) -> Response:
        if request.method == "POST":
            try:
                change(site, await request.json())
            except (ValueError, TypeError) as error:
                return JSONResponse({"error": f"Nothing was switched: {error}"}, 422)
        counted = site.counted
        return JSONResponse(
            {
                "in_flight": counted.in_flight,
                "most_in_flight": counted.most_in_flight,
                "requests": len(counted.requests),
            }
        )

    return [Route(f"{PATH}switches", switches, methods=["GET", "POST"])]


def change(site: Site, given: dict[str, Any]) -> None:
    """Switch what is given, all of it or nothing.

    :raises ValueError: something is not a switch, or cannot have this value.
    """
    changes: list[tuple[object, str, Any]] = []
    faults: list[Fault] | None = None
    for name, value in given.items():
        if name == "faults":
            faults = TypeAdapter(list[Fault]).validate_python(value)
        elif not hasattr(site.switches, name) and name in site.extras:
            changes += [_read(site.extras[name], inner, one) for inner, one in value.items()]
        else:
            changes.append(_read(site.switches, name, value))
    for switches, name, value in changes:
        setattr(switches, name, value)
    if faults is not None:
        site.faults.put(faults)


def _read(switches: object, name: str, value: Any) -> tuple[object, str, Any]:
    if not dataclasses.is_dataclass(switches) or name not in {field.name for field in dataclasses.fields(switches)}:
        raise ValueError(f"{name} is no switch of this site")
    try:
        return switches, name, TypeAdapter(get_type_hints(type(switches))[name]).validate_python(value)
    except ValidationError as error:
        raise ValueError(f"{name}: {error.errors()[0]['msg']}") from error
