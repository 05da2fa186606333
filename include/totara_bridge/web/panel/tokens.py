"""Tokens of the Pull API: who has one, and giving, replacing and taking back; a token is in one answer and no other."""

from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from totara_bridge import api_token
from totara_bridge.staging.api_token import Scope, Token, tokens
from totara_bridge.web.panel.access import FROM_OUR_PAGE, MAY_MANAGE, Person
from totara_bridge.web.panel.asked import Staging

router = APIRouter()

_CHANGES = (MAY_MANAGE, FROM_OUR_PAGE)


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class Issue(_Asked):
    """A token for a caller."""

    caller: str
    scopes: tuple[Scope, ...] = tuple(Scope)
    networks: Annotated[tuple[str, ...], Field(max_length=100)] = ()  #: as 10.1.0.0/16; none: from anywhere
    days: Annotated[int, Field(ge=1, le=3650)] | None = api_token.LASTS.days  #: none: until it is revoked


class Rotate(_Asked):
    """Another token for the one that a caller has."""

    overlap_hours: Annotated[int, Field(ge=0, le=365 * 24)] = api_token.OVERLAP // timedelta(hours=1)


class Revoke(_Asked):
    """Nothing is asked for but that."""


@router.get("/tokens")
def listed(staging: Staging) -> dict[str, Any]:
    """All tokens there ever were, never themselves; and what a form begins with."""
    with staging.look() as connection:
        known = tokens(connection)
    now = staging.clock()
    return {
        "tokens": [_shown(each, now) for each in known],
        "scopes": list(Scope),
        "days": api_token.LASTS.days,
        "overlap_hours": api_token.OVERLAP // timedelta(hours=1),
    }


@router.post("/tokens", dependencies=_CHANGES, status_code=201)
def issue(asked: Issue, person: Person, staging: Staging) -> dict[str, Any]:
    """Give a caller its first token, or one after all others have ended."""
    lasts = None if asked.days is None else timedelta(days=asked.days)
    with staging.change() as transaction:
        issued = api_token.issue(
            transaction,
            caller=asked.caller,
            scopes=asked.scopes,
            networks=asked.networks,
            lasts=lasts,
            by=person,
            now=staging.clock(),
        )
    return {"id": issued.id, "caller": asked.caller, "token": issued.token, "expires_at": issued.expires_at}


@router.post("/tokens/{caller}/rotate", dependencies=_CHANGES, status_code=201)
def rotate(caller: str, asked: Rotate, person: Person, staging: Staging) -> dict[str, Any]:
    """Give a caller a new token; the one it has lives on for the overlap."""
    overlap = timedelta(hours=asked.overlap_hours)
    with staging.change() as transaction:
        rotated = api_token.rotate(transaction, caller=caller, overlap=overlap, by=person, now=staging.clock())
    new = {"id": rotated.new.id, "caller": caller, "token": rotated.new.token, "expires_at": rotated.new.expires_at}
    return new | {"old": list(rotated.old), "old_until": rotated.old_until}


@router.post("/tokens/{number}/revoke", dependencies=_CHANGES)
def revoke(number: int, _: Revoke, person: Person, staging: Staging) -> dict[str, Any]:
    """End a token now and for good; again, nothing more happens."""
    with staging.change() as transaction:
        return {"revoked": api_token.revoke(transaction, number, by=person, now=staging.clock())}


def _shown(token: Token, now: datetime) -> dict[str, Any]:
    state = "revoked" if token.revoked_at is not None else "live" if token.is_live(now) else "expired"
    return {name: getattr(token, name) for name in _SHOWN} | {"state": state}


_SHOWN = tuple(Token.__dataclass_fields__)
