"""Telling people of alerts: each channel hears once that an alert was raised, and once that it is over."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from airflow.sdk.configuration import conf
from sqlalchemy import Engine

from totara_bridge.orchestration.channels import tell, why
from totara_bridge.settings import Channel
from totara_bridge.staging import alert, setting

log = logging.getLogger(__name__)


@dataclass
class Sent:
    """What became of the notices that were due."""

    told: int = 0
    failed: dict[str, str] = field(default_factory=dict)  #: by channel that was not told: why


def send_notices(engine: Engine, clock: Callable[[], datetime]) -> Sent:
    """Tell every channel what it was not told yet; those that are out of reach are tried again at the next call.

    Who comes while another sends waits for it, so that nothing is told twice. A sender that is killed between
    telling and writing it down tells it again: twice is better than never.

    :param engine: with two connections or more.
    """
    with engine.begin() as transaction:
        channels = {each.connection: each for each in setting.read(transaction).alert_channels}
    if not channels:
        return Sent()
    with engine.begin() as turn:
        alert.reserve_notices(turn)
        return _send_pending(engine, channels, clock)


def _send_pending(engine: Engine, channels: Mapping[str, Channel], clock: Callable[[], datetime]) -> Sent:
    base_url, sent, unreachable = conf.get("api", "base_url", fallback=None), Sent(), set[str]()
    with engine.begin() as transaction:
        notices = alert.pending(transaction, list(channels))
    for notice in notices:
        if notice.channel in unreachable:
            continue
        error = None
        try:
            tell(channels[notice.channel], notice, base_url)
            sent.told += 1
        except Exception as failure:
            error = sent.failed[notice.channel] = why(failure)
            log.warning("the channel %s was not told: %s", notice.channel, error)
            if isinstance(failure, OSError):  # no connection, as all network libraries say: the others would wait too
                unreachable.add(notice.channel)
        with engine.begin() as transaction:
            alert.told(transaction, notice, error=error, now=clock())
    return sent
