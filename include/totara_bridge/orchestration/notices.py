"""Telling people of alerts: each channel hears once that an alert was raised, and once that it is over."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from airflow.sdk.configuration import conf
from sqlalchemy import Engine

from totara_bridge.orchestration.channels import is_out_of_reach, tell, why
from totara_bridge.settings import Channel
from totara_bridge.staging import setting
from totara_bridge.staging.notice import LOCK, pending, told
from totara_bridge.staging.session_lock import session_lock

log = logging.getLogger(__name__)


@dataclass
class Sent:
    """What became of the notices that were due."""

    told: int = 0
    failed: dict[str, str] = field(default_factory=dict)  #: by channel that was not told: why


def send_notices(engine: Engine, clock: Callable[[], datetime], *, within: timedelta | None = None) -> Sent:
    """Tell every channel what it was not told yet; those that are out of reach are tried again at the next call.

    Who comes while another sends waits for it, so that nothing is told twice. A sender that is killed between
    telling and writing it down tells it again: twice is better than never.

    :param engine: with two connections or more.
    :param within: how long to wait for who sends now, and then leave it to the next call; none: until they have ended.
    """
    with engine.begin() as transaction:
        channels = {each.connection: each for each in setting.read(transaction, only="alert_channels").alert_channels}
    if not channels:
        return Sent()
    with session_lock(engine, LOCK) as lock:
        if lock.take(within=within):
            return _send_pending(engine, channels, clock)
    log.warning("another process tells the channels now: what is new is left to the next run of watch_delivery")
    return Sent()


def _send_pending(engine: Engine, channels: Mapping[str, Channel], clock: Callable[[], datetime]) -> Sent:
    base_url, sent, out_of_reach = conf.get("api", "base_url", fallback=None), Sent(), set[str]()
    with engine.begin() as transaction:
        notices = pending(transaction, list(channels))
    for notice in notices:
        if notice.channel in out_of_reach:
            continue
        error = None
        try:
            tell(channels[notice.channel], notice, base_url)
            sent.told += 1
        except Exception as failure:
            error = sent.failed[notice.channel] = why(failure)
            log.warning("the channel %s was not told: %s", notice.channel, error)
            if is_out_of_reach(failure):  # each further notice would keep the other channels waiting as long
                out_of_reach.add(notice.channel)
        with engine.begin() as transaction:
            told(transaction, notice, error=error, now=clock())
    return sent
