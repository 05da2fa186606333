"""Looking whether the promises of delivery are kept: what is broken is raised as an alert, what is kept again resolved.

What a manager has switched off, or what only shows what it would send, promises nothing; once that is over, its
promises count from then.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import Engine

from totara_bridge.alert_name import AlertName
from totara_bridge.config import BridgeConfig
from totara_bridge.settings import Settings
from totara_bridge.staging import alert, promise, setting
from totara_bridge.staging.alert import Alert, Broken
from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.promise import Delivered, Down, Waiting

log = logging.getLogger(__name__)

#: With fewer deliveries a share says nothing.
FEWEST = 20

#: So long a destination may be down before anybody hears of it: most get up again within a run's own retries.
DOWN_FOR = timedelta(minutes=10)

#: The alerts that a watch raises and resolves.
WATCHED = (
    AlertName.UNDELIVERED,
    AlertName.LATE_SHARE,
    AlertName.SILENCE,
    AlertName.DEAD_ITEMS,
    AlertName.DESTINATION_DOWN,
)

_SWITCHED_OFF = "A manager has switched it off."
_IN_SHADOW_MODE = "It is in shadow mode, which sends nothing."


@dataclass(frozen=True)
class DestinationWatched:
    """How a destination is."""

    waiting: Waiting
    oldest_for: timedelta  #: how long the oldest of it waits; nothing: none waits
    delivered: Delivered
    died: int  #: within the last hour


@dataclass(frozen=True)
class Watched:
    """What a watch found."""

    raised: Sequence[Alert]
    still_open: Sequence[Alert]
    resolved: Sequence[Alert]
    destinations: Mapping[str, DestinationWatched]
    silent_for: Mapping[str, timedelta]  #: by site: since its last extract
    open_alerts: int  #: of all kinds


@dataclass(frozen=True)
class _Facts:
    """What was read, all of one moment."""

    config: BridgeConfig
    now: datetime
    everywhere: Settings
    settings: Mapping[str, Settings]  #: by destination
    destinations: Mapping[str, DestinationWatched]
    down: Mapping[str, Down]
    extracted: Mapping[str, datetime]
    switched: Mapping[str, datetime]  #: by destination, and for all

    def excused(self, destination: str) -> str | None:
        """Why nothing is promised of the destination, as a sentence; none: all is."""
        settings = self.settings[destination]
        if not (self.everywhere.enabled and settings.enabled):
            return _SWITCHED_OFF
        return _IN_SHADOW_MODE if settings.shadow else None


def watch(engine: Engine, config: BridgeConfig, now: datetime) -> Watched:
    """Raise, update and resolve the alerts of `WATCHED`; what is switched off has no credentials failing either.

    :raises ConfigurationInvalid: the ``setting`` table holds a value out of bounds.
    """
    with engine.begin() as transaction:
        alert.reserve(transaction)  # an older look must not be written after a newer one
        facts = _read(transaction, config, now)
        settled = alert.settle(
            transaction, _broken(facts), names=WATCHED, because=dict(_no_more_promised(facts)), now=now
        )
        off = dict(_switched_off(facts))  # no task of theirs gets as far as to say that it was let in
        unused = alert.settle(
            transaction, (), names=(AlertName.CREDENTIALS_FAILING,), subjects=off, because=off, now=now
        )
        still = len(alert.open_alerts(transaction))
    for each in settled.raised:
        log.warning("raised %s of %s: %s", each.name, each.subject, each.words)
    resolved = [*settled.resolved, *unused.resolved]
    for each in resolved:
        log.info("resolved %s of %s", each.name, each.subject)
    return Watched(
        raised=settled.raised,
        still_open=settled.still_open,
        resolved=resolved,
        destinations=facts.destinations,
        silent_for={
            site.code: now - facts.extracted[site.code] for site in config.sites if site.code in facts.extracted
        },
        open_alerts=still,
    )


def _read(transaction: Transaction, config: BridgeConfig, now: datetime) -> _Facts:
    settings = {each.code: setting.read(transaction, each.code) for each in config.destinations}
    died = promise.died(transaction, now=now)
    switched = {scope: promise.switched(transaction, scope) for scope in (setting.EVERYWHERE, *settings)}
    return _Facts(
        config=config,
        now=now,
        everywhere=setting.read(transaction),
        settings=settings,
        destinations={
            code: _destination(transaction, code, of, switched=switched[code], died=died.get(code, 0), now=now)
            for code, of in settings.items()
        },
        down=promise.down(transaction),
        extracted=promise.extracted(transaction),
        switched=switched,
    )


def _destination(
    transaction: Transaction, code: str, settings: Settings, *, switched: datetime, died: int, now: datetime
) -> DestinationWatched:
    waiting = promise.waiting(transaction, code, late_before=now - settings.promise)
    if now - switched <= settings.promise:  # what waited meanwhile has as long as what is new
        waiting = replace(waiting, late=0)
        counts_from = now
    else:
        counts_from = switched + settings.promise
    return DestinationWatched(
        waiting=waiting,
        oldest_for=timedelta(0) if waiting.oldest is None else max(timedelta(0), now - waiting.oldest),
        delivered=promise.delivered(transaction, code, promise=settings.promise, since=counts_from, now=now),
        died=died,
    )


def _broken(facts: _Facts) -> Iterator[Broken]:
    for code, found in facts.destinations.items():
        if facts.excused(code) is None:
            yield from _of_destination(facts, code, found)
    if facts.everywhere.enabled:
        for site in facts.config.sites:
            yield from _silent(facts, site.code)


def _of_destination(facts: _Facts, code: str, found: DestinationWatched) -> Iterator[Broken]:
    settings, waits = facts.settings[code], found.waiting
    if waits.late and waits.oldest is not None:
        states = ", ".join(f"{number} {state}" for state, number in waits.by_state.items())
        yield Broken(
            AlertName.UNDELIVERED,
            code,
            f"{waits.late} completions wait for longer than {_hours(settings.promise)}; the oldest, which is "
            f"{waits.oldest_state}, since {_time(waits.oldest)}. Not delivered yet: {states}.",
        )
    counted = found.delivered.sent + waits.late
    if counted >= FEWEST and found.delivered.in_time < settings.promised_share * counted:
        yield Broken(
            AlertName.LATE_SHARE,
            code,
            f"Of {counted} completions in {promise.SHARE_OF.days} days, "
            f"{100 * found.delivered.in_time / counted:.1f} % were delivered within {_hours(settings.promise)}; "
            f"{100 * settings.promised_share:g} % are promised.",
        )
    if found.died > settings.dead_per_hour:
        yield Broken(
            AlertName.DEAD_ITEMS,
            code,
            f"{found.died} items died within an hour; up to {settings.dead_per_hour} are expected.",
        )
    yield from _down(facts, code)


def _down(facts: _Facts, code: str) -> Iterator[Broken]:
    down, switched = facts.down.get(code), facts.switched[code]
    if down is None or down.seen_at < switched:  # since it was switched on again nobody has asked it
        return
    since = max(down.since, switched)
    if facts.now - since >= DOWN_FOR:
        words = f": it {down.said}" if down.said else ""
        yield Broken(AlertName.DESTINATION_DOWN, code, f"It has stored nothing since {_time(since)}{words}.")


def _silent(facts: _Facts, site: str) -> Iterator[Broken]:
    """A site that was never extracted is not silent yet: that its first extract fails is an alert of its own."""
    last = facts.extracted.get(site)
    if last is None:
        return
    missed = facts.config.next_turn(site, facts.config.next_turn(site, last))
    counts_from = max(last, facts.switched[setting.EVERYWHERE])
    if facts.now > max(counts_from + facts.everywhere.silence, missed):
        yield Broken(AlertName.SILENCE, site, f"Nothing was extracted from it since {_time(last)}.")


def _no_more_promised(facts: _Facts) -> Iterator[tuple[str, str]]:
    """Why an alert is over although its promise is not kept, by subject."""
    for code in facts.settings:
        because = facts.excused(code)
        if because is not None:
            yield code, because
    if not facts.everywhere.enabled:
        yield from ((site.code, _SWITCHED_OFF) for site in facts.config.sites)


def _switched_off(facts: _Facts) -> Iterator[tuple[str, str]]:
    return (each for each in _no_more_promised(facts) if each[1] == _SWITCHED_OFF)


def _hours(length: timedelta) -> str:
    return f"{length.total_seconds() / 3600:g} hours"


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
