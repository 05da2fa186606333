"""All rows of a query that gives them in pages, by id: each once, whatever changes between the pages.

Measured on 17.3: the cursor holds the last value of the sort column and no more, so that rows of an equal value are
lost at the border of a page. Only the id has no equals. Rows come and go between pages without moving the others.
"""

import base64
import binascii
import json
from collections.abc import Iterator
from typing import Any

from totara_bridge.errors import TotaraRefused
from totara_bridge.totara.graphql.answers import TooComplex
from totara_bridge.totara.graphql.client import GraphqlClient

#: The complexity that an answer may have where nobody changed it (17.3), about one for each field of each row.
_MOST_COMPLEX = 6_000
_OF_THE_QUERY = 50


def rows(client: GraphqlClient, field: str, fields: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Each row, in the order of their ids; raises what `GraphqlClient.query` raises.

    :param field: the query; its argument is called ``query`` and has the type ``<field>_query``.
    :param fields: what is wanted of a row, ``id`` among it.
    """
    document = f"query($q: {field}_query) {{ {field}(query: $q) {{ next_cursor items {{ {' '.join(fields)} }} }} }}"
    limit = (_MOST_COMPLEX - _OF_THE_QUERY) // sum(1 + each.count("{") for each in fields)
    cursor, last = "", 0
    while True:
        pagination = {"cursor": _with_limit(cursor, limit)} if cursor else {"limit": limit}
        asked = {"q": {"pagination": pagination, "sort": [{"column": "id"}]}}
        try:
            page = client.query(document, asked, field=field)
        except TooComplex:
            if limit == 1:
                raise
            limit = limit // 2
            continue
        for row in _items(page, client, field):
            number = _id_of(row)
            if number <= last:
                raise TotaraRefused(
                    f"{client.place} does not give {field} in the order of their ids ({number} after {last}), so that "
                    "some could be lost: this release pages otherwise; choose another source for this connection."
                )
            last = number
            yield row
        cursor = page.get("next_cursor") or ""
        if not cursor:
            return


def _items(page: Any, client: GraphqlClient, field: str) -> list[dict[str, Any]]:
    items = page.get("items") if isinstance(page, dict) else None
    if not isinstance(items, list) or "next_cursor" not in page:
        raise TotaraRefused(
            f"{client.place} gives {field} in a way that is not known (no items, or no next_cursor): this release has "
            "another API than 17 to 20; choose another source for this connection."
        )
    return [each for each in items if isinstance(each, dict)]  # null: one that may not be seen


def _id_of(row: dict[str, Any]) -> int:
    try:
        return int(row["id"])
    except (KeyError, TypeError, ValueError):
        return 0


def _with_limit(cursor: str, limit: int) -> str:
    """The cursor with another limit, which it carries itself (measured on 17.3)."""
    try:
        read = json.loads(base64.b64decode(cursor, validate=True))
    except (binascii.Error, ValueError):
        return cursor
    if not isinstance(read, dict) or read.get("limit") == limit or "limit" not in read:
        return cursor
    return base64.b64encode(json.dumps({**read, "limit": limit}, separators=(",", ":")).encode()).decode()
