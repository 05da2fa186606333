"""What the tab Queue asks for: pages of items, how many there are, all of them as CSV, and the story of one."""

from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from pydantic import Field
from starlette.responses import Response

from totara_bridge.staging import item_page, item_row
from totara_bridge.staging.item_page import NEWEST
from totara_bridge.staging.selection import Action, Selection
from totara_bridge.web.panel.asked import Config, Staging
from totara_bridge.web.panel.csv_file import csv_file
from totara_bridge.web.panel.item_filter import ItemFilter
from totara_bridge.web.panel.item_story import story
from totara_bridge.web.problem import Problem
from totara_bridge.web.service import Service

router = APIRouter()

#: Items of CSV that are read at a time.
_PIECE = 1000


class PageAsked(ItemFilter):
    """Which items, and from where on."""

    after: Annotated[int, Field(ge=1, le=NEWEST)] = NEWEST  #: only items with lower numbers
    limit: Annotated[int, Field(ge=1, le=200)] = 50


@router.get("/items")
def page(asked: Annotated[PageAsked, Query()], staging: Staging) -> dict[str, Any]:
    """A page, newest first; a short one with ``more`` has walked its share and found no others."""
    with staging.look() as connection:
        found = item_page.page(connection, asked.selection(), after=asked.after, limit=asked.limit)
    return {"items": [_told(row) for row in found.items], "more": found.more, "cursor": found.after}


@router.get("/items/count")
def count(asked: Annotated[ItemFilter, Query()], staging: Staging) -> dict[str, Any]:
    """How many items there are; ``runs``: what a run is asked with to requeue or cancel all of them, null for none."""
    with staging.look() as connection:
        found = item_page.count(connection, asked.selection())
    return {"items": found.items, "more": found.more, "runs": {action: asked.conf(action) for action in Action}}


@router.get("/items.csv")
def csv(asked: Annotated[ItemFilter, Query()], staging: Staging) -> Response:
    """All of them, newest first; they are read piece by piece as they go out."""
    return csv_file("items", f"{item_row.HEADER}\r\n", _lines(staging, asked.selection()))


@router.get("/items/{number}")
def one(number: Annotated[int, Path(ge=1, le=NEWEST)], staging: Staging, config: Config) -> dict[str, Any]:
    """All that ever happened to an item, what it says, and why it was not sent yet."""
    with staging.look() as connection:
        found = story(connection, config, number, now=staging.clock())
    if found is None:
        raise Problem(404, "not-found", f"There is no item {number} in the queue: it may have been purged.")
    return found


def _told(row: Any) -> dict[str, Any]:
    told = dict(row._mapping)
    del told["walked_to"]
    return told


def _lines(staging: Service, asked: Selection) -> Iterator[str]:
    after: int | None = NEWEST
    while after is not None:
        with staging.look() as connection:
            found = item_page.page(connection, asked, after=after, limit=_PIECE, columns=item_row.LINE)
        yield "".join(f"{row.line}\r\n" for row in found.items)
        after = found.after
