"""Tokens of the Pull API: who has one, and letting in who shows one."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import Connection, insert, select, text, update

from totara_bridge.settings import Settings
from totara_bridge.staging.engine import Transaction, asked, in_driver
from totara_bridge.staging.schema import ApiTokenRow


class Scope(StrEnum):
    """What a token is good for."""

    READ = "read"
    ACKNOWLEDGE = "acknowledge"


@dataclass(frozen=True)
class Caller:
    """Who shows a live token."""

    name: str  #: of the system that fetches; it keeps it when its token is rotated
    token: int
    scopes: Sequence[str]
    from_here: bool  #: the token may be used from where it came
    switched_on: bool | None  #: none: a switch holds a value that it cannot have, and nobody is to be let in
    wait: timedelta  #: until the next request is within the limit; nothing: this one is


@dataclass(frozen=True)
class Token:
    """What is known of a token: never itself."""

    id: int
    caller: str
    hint: str
    scopes: Sequence[str]
    networks: Sequence[str]
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None
    revoked_by: str | None

    def is_live(self, now: datetime) -> bool:
        """Whether it lets somebody in."""
        return self.revoked_at is None and (self.expires_at is None or self.expires_at > now)


_KNOWN = tuple(Token.__dataclass_fields__)


def alone(transaction: Transaction, caller: str) -> None:
    """Wait until nobody else changes which tokens the caller has, and have others wait until the transaction ends."""
    transaction.execute(_ALONE, {"caller": f"totara_bridge.api_token.{caller}"})


_ALONE = text("SELECT pg_advisory_xact_lock(hashtextextended(:caller, 0))")


def tokens(transaction: Transaction, *, caller: str | None = None, number: int | None = None) -> list[Token]:
    """All tokens there ever were, or those of a caller, or the one of that number; a caller's oldest first."""
    found = select(*(getattr(ApiTokenRow, name) for name in _KNOWN)).order_by(ApiTokenRow.caller, ApiTokenRow.id)
    if caller is not None:
        found = found.where(ApiTokenRow.caller == caller)
    if number is not None:
        found = found.where(ApiTokenRow.id == number)
    rows = (row._asdict() for row in transaction.execute(found))
    return [Token(**row | {"networks": [str(each) for each in row["networks"]]}) for row in rows]


def add(
    transaction: Transaction,
    *,
    caller: str,
    sha256: bytes,
    hint: str,
    scopes: Sequence[Scope],
    networks: Sequence[str],
    expires_at: datetime | None,
    by: str,
    now: datetime,
) -> int:
    """Store a new token; its number."""
    values = {
        "caller": caller,
        "sha256": sha256,
        "hint": hint,
        "scopes": list(scopes),
        "networks": list(networks),
        "expires_at": expires_at,
        "created_by": by,
        "created_at": now,
    }
    return transaction.execute(insert(ApiTokenRow).values(values).returning(ApiTokenRow.id)).scalar_one()


def let_expire(transaction: Transaction, number: int, *, at: datetime) -> None:
    """Have a token end at that time."""
    transaction.execute(update(ApiTokenRow).where(ApiTokenRow.id == number).values(expires_at=at))


def revoke(transaction: Transaction, number: int, *, by: str, now: datetime) -> None:
    """End a token that was not revoked, for good."""
    still = update(ApiTokenRow).where(ApiTokenRow.id == number, ApiTokenRow.revoked_at.is_(None))
    transaction.execute(still.values(revoked_at=now, revoked_by=by))


def admit(connection: Connection, *, sha256: bytes, address: str | None, now: datetime) -> Caller | None:
    """Who shows this token, at this moment; none: nobody, or it was revoked or has expired.

    One statement for all that can change between two requests: the token, the switches and the limit.

    :param connection: in no transaction, or those that use the token at the same time would wait for each other.
    :param address: the IP address that the request comes from; none: it is not known.
    """
    values = {"sha256": sha256, "address": address, "now": now, "defaults": _DEFAULTS}
    with asked(connection, _ADMIT, values) as cursor:
        row = cursor.fetchone()
    return None if row is None else Caller(*row)


def may_go_on(connection: Connection, *, token: int, now: datetime) -> bool:
    """Whether who was let in with the token of this number would be still; that counts as no request."""
    with asked(connection, _MAY_GO_ON, {"token": token, "now": now, "defaults": _DEFAULTS}) as cursor:
        row = cursor.fetchone()
    return row is not None and bool(row[0])


_SWITCHES = ("enabled", "pull", "pull_per_minute")
_DEFAULTS = json.dumps({name: getattr(Settings(), name) for name in _SWITCHES})


def _truth(name: str) -> str:
    """SQL: the switch, as whoever sets it may write it; null where it is neither on nor off."""
    return f"""
        CASE WHEN lower(value ->> '{name}') IN ('true', 't', 'on', 'yes', 'y', '1') THEN true
             WHEN lower(value ->> '{name}') IN ('false', 'f', 'off', 'no', 'n', '0') THEN false END
    """


# The table may have been edited by hand: what a switch cannot hold is null here, which lets nobody in.
_SWITCHED = f"""
    said AS MATERIALIZED (
        SELECT cast(:defaults AS jsonb) || coalesce(jsonb_object_agg(name, value), '{{}}') AS value
        FROM bridge.setting
        WHERE scope = 'bridge' AND name IN ({", ".join(f"'{name}'" for name in _SWITCHES)})
    ),
    numbers AS MATERIALIZED (
        SELECT CASE WHEN value ->> 'pull_per_minute' ~ '^[0-9]{{1,8}}(\\.0+)?$'
                    THEN cast(cast(value ->> 'pull_per_minute' AS numeric) AS integer) END AS per_minute
        FROM said
    ),
    switches AS MATERIALIZED (
        SELECT {_truth("enabled")} AND {_truth("pull")} AND nullif(
                   coalesce(per_minute BETWEEN 1 AND 10000000, false), false) AS switched_on,
               -- a whole number of microseconds, rounded down: as many shares as are said fit into a minute
               interval '1 microsecond' * (60000000 / nullif(per_minute, 0)) AS share
        FROM said, numbers
    )
"""

_LIVE = "t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > :now)"

_MAY_GO_ON = in_driver(
    text(
        f"""
        WITH {_SWITCHED}
        SELECT switched_on FROM bridge.api_token t, switches WHERE t.id = :token AND {_LIVE}
        """
    )
)

# GCRA: each request pays for a share of a minute, and nobody may have paid for more than a minute ahead. That row is
# in an unlogged table: it costs no flush, and what a crash loses is a minute's count.
# Who has paid for longer than a minute was let in by a clock that was ahead: that counts as nothing, or they would be
# locked out until then. By a few seconds the clocks of two servers may differ.
_PAID = """
    CASE WHEN p.paid_until > cast(:now AS timestamptz) + interval '65 seconds' THEN cast(:now AS timestamptz)
         ELSE greatest(p.paid_until, :now) END
"""
_ADMIT = in_driver(
    text(
        f"""
    WITH {_SWITCHED},
    token AS MATERIALIZED (
        SELECT t.id, t.caller, t.scopes, switched_on, share,
               cardinality(t.networks) = 0
               OR coalesce(cast(:address AS inet) <<= ANY(cast(t.networks AS inet[])), false) AS from_here
        FROM bridge.api_token t, switches
        WHERE t.sha256 = :sha256 AND {_LIVE}
    ),
    paid AS (
        INSERT INTO bridge.api_token_pace AS p (token_id, paid_until)
        SELECT id, cast(:now AS timestamptz) + share FROM token WHERE from_here AND switched_on
        ON CONFLICT (token_id) DO UPDATE SET paid_until = {_PAID} + (SELECT share FROM token)
        WHERE {_PAID} + (SELECT share FROM token) - interval '1 minute' <= :now
        RETURNING token_id
    ),
    used AS (
        UPDATE bridge.api_token SET last_used_at = :now
        -- whoever rotates the token now, or notes the same, is not waited for
        WHERE id = (SELECT t.id FROM bridge.api_token t JOIN paid ON t.id = paid.token_id
                    WHERE t.last_used_at IS NULL OR t.last_used_at < cast(:now AS timestamptz) - interval '1 minute'
                    FOR NO KEY UPDATE OF t SKIP LOCKED)
    )
    SELECT t.caller, t.id, t.scopes, t.from_here, t.switched_on,  -- a `Caller`
           CASE WHEN EXISTS (SELECT FROM paid) THEN interval '0'
                -- where nothing is left to wait for, the row was paid from after this statement began: a share more
                ELSE coalesce(nullif(greatest({_PAID} + t.share - interval '1 minute' - cast(:now AS timestamptz),
                                              interval '0'), interval '0'), t.share, interval '0')
           END AS wait
    FROM token t LEFT JOIN bridge.api_token_pace p ON p.token_id = t.id
    """
    )
)
