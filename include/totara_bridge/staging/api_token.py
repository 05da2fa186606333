"""Tokens of the Pull API: who has one, and letting in who shows one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import Connection, insert, text

from totara_bridge.settings import Settings
from totara_bridge.staging.engine import Transaction
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
    switched_on: bool
    wait: timedelta  #: until the next request is within the limit; nothing: this one is


@dataclass(frozen=True)
class Token:
    """What is known of a token."""

    caller: str
    hint: str
    scopes: Sequence[str]
    networks: Sequence[str]
    expires_at: datetime | None


def add(transaction: Transaction, token: Token, *, sha256: bytes, by: str, now: datetime) -> int:
    """Store a new token; its number."""
    values = vars(token) | {"sha256": sha256, "created_by": by, "created_at": now}
    return transaction.execute(insert(ApiTokenRow).values(values).returning(ApiTokenRow.id)).scalar_one()


def admit(connection: Connection, *, sha256: bytes, address: str | None, now: datetime) -> Caller | None:
    """Who shows this token, at this moment; none: nobody, or it was revoked or has expired.

    One statement for all that can change between two requests: the token, the switches and the limit.

    :param connection: in no transaction, or those that use the token at the same time would wait for each other.
    :param address: the IP address that the request comes from; none: it is not known.
    """
    values = {"sha256": sha256, "address": address, "now": now}
    row = connection.execute(_ADMIT, values | _DEFAULTS).one_or_none()
    if row is None:
        return None
    return Caller(row.caller, row.id, row.scopes, row.from_here, row.switched_on, row.wait)


_SWITCHES = ("enabled", "pull", "pull_per_minute")
_DEFAULTS = {name: getattr(Settings(), name) for name in _SWITCHES}

# GCRA: each request pays for a share of a minute, and nobody may have paid for more than a minute ahead. That row is
# in an unlogged table: it costs no flush, and what a crash loses is a minute's count.
_ADMIT = text(
    f"""
    WITH said AS MATERIALIZED (
        SELECT name, value #>> '{{}}' AS value FROM bridge.setting
        WHERE scope = 'bridge' AND name IN ({", ".join(f"'{name}'" for name in _SWITCHES)})
    ),
    token AS MATERIALIZED (
        SELECT t.id, t.caller, t.scopes,
               cardinality(t.networks) = 0
               OR coalesce(cast(:address AS inet) <<= ANY(cast(t.networks AS inet[])), false) AS from_here,
               coalesce((SELECT cast(value AS boolean) FROM said WHERE name = 'enabled'), :enabled)
               AND coalesce((SELECT cast(value AS boolean) FROM said WHERE name = 'pull'), :pull) AS switched_on,
               interval '1 minute' / coalesce((SELECT cast(value AS integer) FROM said WHERE name = 'pull_per_minute'),
                                              :pull_per_minute) AS share
        FROM bridge.api_token t
        WHERE t.sha256 = :sha256 AND t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > :now)
    ),
    paid AS (
        INSERT INTO bridge.api_token_pace AS p (token_id, paid_until)
        SELECT id, cast(:now AS timestamptz) + share FROM token WHERE from_here AND switched_on
        ON CONFLICT (token_id) DO UPDATE SET paid_until = greatest(p.paid_until, :now) + (SELECT share FROM token)
        WHERE greatest(p.paid_until, :now) + (SELECT share FROM token) - interval '1 minute' <= :now
        RETURNING token_id
    ),
    used AS (
        UPDATE bridge.api_token SET last_used_at = :now
        WHERE id = (SELECT token_id FROM paid)
          AND (last_used_at IS NULL OR last_used_at < cast(:now AS timestamptz) - interval '1 minute')
    )
    SELECT t.id, t.caller, t.scopes, t.from_here, t.switched_on,
           CASE WHEN EXISTS (SELECT FROM paid) THEN interval '0'
                -- at least a share: the row may have been paid from since this statement began
                ELSE greatest(p.paid_until + t.share - interval '1 minute' - cast(:now AS timestamptz), t.share)
           END AS wait
    FROM token t LEFT JOIN bridge.api_token_pace p ON p.token_id = t.id
    """
)
