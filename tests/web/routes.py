"""Every route of an app, of whatever is mounted in it too."""

import re
from collections.abc import Iterator
from typing import Any

from starlette.routing import BaseRoute, Mount


def routes(app: Any, prefix: str = "") -> Iterator[tuple[str, frozenset[str]]]:
    """Each address, its parameters filled in, and the methods that it takes; of a foreign app, its own address."""
    for route in app.routes:
        yield from _of(route, prefix)


def _of(route: BaseRoute, prefix: str) -> Iterator[tuple[str, frozenset[str]]]:
    address = prefix + re.sub(r"\{[^}]*\}", "sbx-3-20", str(getattr(route, "path", "")))
    if isinstance(route, Mount) and hasattr(route.app, "routes"):
        yield from routes(route.app, address)
    elif isinstance(route, Mount):  # static files, say
        yield address + "/", frozenset({"GET"})
    else:
        yield address, frozenset(getattr(route, "methods", None) or ())
