"""What of the promises of delivery is broken is raised as an alert, and what is kept again is resolved."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Engine

from totara_bridge.alert_name import AlertName
from totara_bridge.config import BridgeConfig
from totara_bridge.staging import alert, item_count
from totara_bridge.staging.alert import Alert
from totara_bridge.watch.promises import SWITCHED_OFF, DestinationWatched, Promises, broken, look, no_more_promised

log = logging.getLogger(__name__)

#: The alerts that a watch raises and resolves.
WATCHED = (
    AlertName.UNDELIVERED,
    AlertName.LATE_SHARE,
    AlertName.SILENCE,
    AlertName.DEAD_ITEMS,
    AlertName.DESTINATION_DOWN,
    AlertName.RECONCILE_DIFFERENCES,
)


@dataclass(frozen=True)
class Watched:
    """What a watch found."""

    raised: Sequence[Alert]
    still_open: Sequence[Alert]
    resolved: Sequence[Alert]
    destinations: Mapping[str, DestinationWatched]
    silent_for: Mapping[str, timedelta]  #: by site: since its last extract
    open_alerts: int  #: of all kinds


def watch(engine: Engine, config: BridgeConfig, now: datetime) -> Watched:
    """Raise, update and resolve the alerts of `WATCHED`; what is switched off has no credentials failing either.

    :raises ConfigurationInvalid: the ``setting`` table holds a value out of bounds.
    """
    with engine.begin() as transaction:
        alert.reserve(transaction)  # an older look must not be written after a newer one
        promises = look(transaction, config, now)
        settled = alert.settle(
            transaction, broken(promises), names=WATCHED, because=dict(no_more_promised(promises)), now=now
        )
        off = dict(_switched_off(promises))  # no task of theirs gets as far as to say that it was let in
        unused = alert.settle(
            transaction, (), names=(AlertName.CREDENTIALS_FAILING,), subjects=off, because=off, now=now
        )
        still = len(alert.open_alerts(transaction))
    with engine.begin() as transaction:
        item_count.add_up(transaction, now=now)
    for each in settled.raised:
        log.warning("raised %s of %s: %s", each.name, each.subject, each.words)
    resolved = [*settled.resolved, *unused.resolved]
    for each in resolved:
        log.info("resolved %s of %s", each.name, each.subject)
    return Watched(
        raised=settled.raised,
        still_open=settled.still_open,
        resolved=resolved,
        destinations=promises.destinations,
        silent_for={
            site.code: now - promises.extracted[site.code] for site in config.sites if site.code in promises.extracted
        },
        open_alerts=still,
    )


def _switched_off(promises: Promises) -> Iterator[tuple[str, str]]:
    return (each for each in no_more_promised(promises) if each[1] == SWITCHED_OFF)
