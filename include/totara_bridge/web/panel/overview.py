"""What a manager looks at first: what waits where, what was delivered and how soon, and what is wrong now."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from fastapi import APIRouter
from sqlalchemy import Connection

from totara_bridge.config import BridgeConfig
from totara_bridge.settings import Settings
from totara_bridge.staging import alert, item_count, overview, promise, setting
from totara_bridge.staging import site as staged_site
from totara_bridge.staging.states import State
from totara_bridge.web.panel.asked import Config, Staging
from totara_bridge.web.pull.app import PREFIX

router = APIRouter()

Period = Literal["24h", "7d", "30d"]

#: Of each period, how much time a point of the chart is of, and how many points there are.
_POINTS: dict[Period, tuple[timedelta, int]] = {
    "24h": (timedelta(hours=1), 24),
    "7d": (timedelta(hours=1), 168),
    "30d": (timedelta(hours=6), 120),
}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@router.get("/overview")
def get(staging: Staging, config: Config, period: Period = "24h") -> dict[str, Any]:
    """Everything of the page; the points of its chart begin at whole hours of UTC, the last one in the present."""
    now = staging.clock()
    step, points = _POINTS[period]
    last = _EPOCH + (now - _EPOCH) // step * step
    hours = [last - step * back for back in reversed(range(points))]
    with staging.look() as connection:
        seen = _see(connection, config, hours[0], now)
        chart = _chart(connection, hours, step)
        alerts = alert.open_alerts(connection)
        extracted = promise.extracted(connection)
    return {
        "at": now,
        "period": period,
        "pull": {"enabled": seen.everywhere.pull, "path": PREFIX},
        "destinations": [_destination(seen, code) for code in seen.codes],
        "totals": _totals(seen),
        "chart": chart,
        "alerts": [
            {"name": each.name, "subject": each.subject, "words": each.words, "since": each.raised_at,
             "run_id": each.run_id} for each in alerts
        ],
        "sites": [{"code": each.code, "extracted_at": extracted.get(each.code)} for each in config.sites],
    }  # fmt: skip


@dataclass(frozen=True)
class _Seen:
    """What was read of the destinations."""

    now: datetime
    codes: Sequence[str]  #: those of bridge.toml, then those of which only items are left
    connections: dict[str, str]  #: by destination of bridge.toml
    everywhere: Settings
    settings: dict[str, Settings]
    present: Sequence[item_count.Present]
    oldest: dict[str, overview.Oldest]
    delays: dict[str, overview.Delay]
    rests: dict[str, overview.Rest]
    sent_last_hour: dict[str, int]
    sent_last_day: dict[str, int]


def _see(connection: Connection, config: BridgeConfig, since: datetime, now: datetime) -> _Seen:
    present = item_count.present(connection)
    connections = {each.code: each.connection for each in config.destinations}
    codes = [*connections, *sorted({each.destination for each in present} - connections.keys())]
    settings = {code: setting.read(connection, code) for code in codes}
    promises = {code: each.promise for code, each in settings.items()}
    return _Seen(
        now=now,
        codes=codes,
        connections=connections,
        everywhere=setting.read(connection),
        settings=settings,
        present=present,
        oldest=dict(overview.oldest_waiting(connection, codes)),
        delays=dict(overview.delays(connection, promises, since=since)),
        rests=dict(overview.rests(connection)),
        sent_last_hour=dict(item_count.sent_since(connection, now - timedelta(hours=1))),
        sent_last_day=dict(item_count.sent_since(connection, now - timedelta(days=1))),
    )


def _destination(seen: _Seen, code: str) -> dict[str, Any]:
    settings, rest = seen.settings[code], seen.rests.get(code)
    oldest, delay = seen.oldest.get(code), seen.delays.get(code)
    of_it = [each for each in seen.present if each.destination == code]
    resting = rest is not None and rest.until is not None and rest.until > seen.now
    return {
        "code": code,
        "connection": seen.connections.get(code),
        "enabled": seen.everywhere.enabled and settings.enabled,
        "shadow": settings.shadow,
        "promise_seconds": settings.promise.total_seconds(),
        "counts": _by_state(of_it),
        "by_lane": {lane: _by_state(each for each in of_it if each.lane == lane) for lane in {e.lane for e in of_it}},
        "oldest_waiting": None if oldest is None else {"since": oldest.since, "state": oldest.state},
        "sent_last_hour": seen.sent_last_hour.get(code, 0),
        "sent_last_day": seen.sent_last_day.get(code, 0),
        "delay": None if delay is None else vars(delay) | {"promised_share": settings.promised_share},
        "resting_until": rest.until if rest is not None and resting else None,
        "down_since": rest.down_since if rest is not None else None,
        "reason": rest.reason if rest is not None and (resting or rest.down_since is not None) else None,
    }


def _totals(seen: _Seen) -> dict[str, Any]:
    """Of all destinations together."""
    return {
        "counts": _by_state(seen.present),
        "sent_last_hour": sum(seen.sent_last_hour.values()),
        "sent_last_day": sum(seen.sent_last_day.values()),
    }


def _by_state(present: Iterable[item_count.Present]) -> dict[State, int]:
    """How many items are in each state; every state is named."""
    counted = Counter[State]()
    for each in present:
        counted[each.state] += each.items
    return {state: counted[state] for state in State}


def _chart(connection: Connection, hours: Sequence[datetime], step: timedelta) -> dict[str, Any]:
    """How many instances extracts found, how many items were sent, and how many failed or died, by the hours."""
    came = item_count.by_hour(connection, hours[0])
    found = staged_site.extracted_by_hour(connection, hours[0])

    def values(counted: Iterable[tuple[datetime, int]]) -> list[int]:
        points = [0] * len(hours)
        for hour, number in counted:  # the database's clock may be in the next hour already
            points[min((hour - hours[0]) // step, len(hours) - 1)] += number
        return points

    return {
        "hours": hours,
        "step_seconds": step.total_seconds(),
        "extracted": values((each.hour, each.changes) for each in found),
        "sent": values((each.hour, each.items) for each in came if each.state is State.SENT),
        "failed": values((each.hour, each.items) for each in came if each.state is not State.SENT),
    }
