"""What is promised of delivery, how it is kept, and what of it is broken now; nothing here changes anything.

What a manager has switched off, or what only shows what it would send, promises nothing; once that is over, its
promises count from then.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from totara_bridge.alert_name import AlertName
from totara_bridge.config import BridgeConfig
from totara_bridge.settings import Settings
from totara_bridge.staging import promise, reconciliation, setting
from totara_bridge.staging.alert import Broken
from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.promise import Delivered, Down, Waiting
from totara_bridge.staging.reconciliation import Made

#: With fewer deliveries a share says nothing.
FEWEST = 20

#: So long a destination may be down before anybody hears of it: most get up again within a run's own retries.
DOWN_FOR = timedelta(minutes=10)

#: Why nothing is promised.
SWITCHED_OFF = "A manager has switched it off."
_IN_SHADOW_MODE = "It is in shadow mode, which sends nothing."


@dataclass(frozen=True)
class DestinationWatched:
    """How a destination is."""

    waiting: Waiting
    oldest_for: timedelta  #: how long the oldest of it waits; nothing: none waits
    delivered: Delivered
    died: int  #: within the last hour


@dataclass(frozen=True)
class Promises:
    """How the promises are kept: what was read of it, all of one moment."""

    config: BridgeConfig
    now: datetime
    everywhere: Settings
    settings: Mapping[str, Settings]  #: by destination
    destinations: Mapping[str, DestinationWatched]
    down: Mapping[str, Down]
    extracted: Mapping[str, datetime]
    compared: Mapping[str, Made]  #: by site: its last comparison with Totara
    switched: Mapping[str, datetime]  #: by destination, and for all

    def excused(self, destination: str) -> str | None:
        """Why nothing is promised of the destination, as a sentence; none: all is."""
        settings = self.settings[destination]
        if not (self.everywhere.enabled and settings.enabled):
            return SWITCHED_OFF
        return _IN_SHADOW_MODE if settings.shadow else None


def look(transaction: Transaction, config: BridgeConfig, now: datetime) -> Promises:
    """How the promises are kept now.

    :raises ConfigurationInvalid: the ``setting`` table holds a value out of bounds.
    """
    settings = {each.code: setting.read(transaction, each.code) for each in config.destinations}
    died = promise.died(transaction, now=now)
    switched = {scope: promise.switched(transaction, scope) for scope in (setting.EVERYWHERE, *settings)}
    return Promises(
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
        compared={each.site: each for each in reconciliation.last(transaction)},
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


def broken(promises: Promises) -> Iterator[Broken]:
    """Each promise that is not kept now."""
    for code, found in promises.destinations.items():
        if promises.excused(code) is None:
            yield from _of_destination(promises, code, found)
    if promises.everywhere.enabled:
        for site in promises.config.sites:
            yield from _silent(promises, site.code)
            yield from _differing(promises.compared.get(site.code))


def _of_destination(promises: Promises, code: str, found: DestinationWatched) -> Iterator[Broken]:
    settings, waits = promises.settings[code], found.waiting
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
    yield from _down(promises, code)


def _down(promises: Promises, code: str) -> Iterator[Broken]:
    down, switched = promises.down.get(code), promises.switched[code]
    if down is None or down.seen_at < switched:  # since it was switched on again nobody has asked it
        return
    since = max(down.since, switched)
    if promises.now - since >= DOWN_FOR:
        words = f": it {down.said}" if down.said else ""
        yield Broken(AlertName.DESTINATION_DOWN, code, f"It has stored nothing since {_time(since)}{words}.")


def _silent(promises: Promises, site: str) -> Iterator[Broken]:
    """A site that was never extracted is not silent yet: that its first extract fails is an alert of its own."""
    last = promises.extracted.get(site)
    if last is None:
        return
    missed = promises.config.next_turn(site, promises.config.next_turn(site, last))
    counts_from = max(last, promises.switched[setting.EVERYWHERE])
    if promises.now > max(counts_from + promises.everywhere.silence, missed):
        yield Broken(AlertName.SILENCE, site, f"Nothing was extracted from it since {_time(last)}.")


def _differing(made: Made | None) -> Iterator[Broken]:
    if made is not None and made.found.differences:
        found = made.found
        yield Broken(
            AlertName.RECONCILE_DIFFERENCES,
            made.site,
            f"Compared with its Totara at {_time(made.made_at)}, {found.missing} completions are missing here or at "
            f"destinations, {found.extra} are extra and {found.different} different.",
        )


def no_more_promised(promises: Promises) -> Iterator[tuple[str, str]]:
    """Why an alert is over although its promise is not kept, by subject."""
    for code in promises.settings:
        because = promises.excused(code)
        if because is not None:
            yield code, because
    if not promises.everywhere.enabled:
        yield from ((site.code, SWITCHED_OFF) for site in promises.config.sites)


def _hours(length: timedelta) -> str:
    return f"{length.total_seconds() / 3600:g} hours"


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M} UTC"
