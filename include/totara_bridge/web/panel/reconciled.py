"""What the last comparison of each site with its Totara found, and its first differences page by page."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from totara_bridge.staging import reconciliation
from totara_bridge.staging.reconciliation import Made
from totara_bridge.web.panel.asked import Config, Staging
from totara_bridge.web.pull.written import Word

router = APIRouter()


class DifferencesAsked(BaseModel):
    """A page of the differences of a site."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    site: Word
    after: Annotated[int, Field(ge=0, lt=2**63)] = 0
    limit: Annotated[int, Field(ge=1, le=200)] = 20


@router.get("/reconciled")
def get(staging: Staging, config: Config) -> dict[str, Any]:
    """The sites of bridge.toml; ``compared`` is none where that was never done."""
    with staging.look() as connection:
        last = {each.site: each for each in reconciliation.last(connection)}
    return {"sites": [{"site": each.code, "compared": _told(last.get(each.code))} for each in config.sites]}


@router.get("/reconciled/differences")
def get_differences(asked: Annotated[DifferencesAsked, Query()], staging: Staging) -> dict[str, Any]:
    """The next differences of the last comparison; of very many the first are kept."""
    with staging.look() as connection:
        rows = reconciliation.differences(connection, asked.site, after=asked.after, limit=asked.limit + 1)
    page = rows[: asked.limit]
    more = len(rows) > len(page)
    return {"rows": [dict(row._mapping) for row in page], "more": more, "cursor": page[-1].number if more else None}


def _told(made: Made | None) -> dict[str, Any] | None:
    if made is None:
        return None
    return {"at": made.made_at, "by": made.made_by, "repaired": made.repaired, **vars(made.found)}
