"""``GET /status``: whether the promises of delivery are kept, looked at now: whoever else looks may be dead."""

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime

from totara_bridge import watch
from totara_bridge.alert_name import AlertName
from totara_bridge.config import BridgeConfig, read_config
from totara_bridge.errors import ConfigurationInvalid
from totara_bridge.staging.pull_form import Form
from totara_bridge.watch import Promises
from totara_bridge.web.problem import misconfigured
from totara_bridge.web.pull import form
from totara_bridge.web.pull.call import Answer, Call
from totara_bridge.web.pull.parameters import Nothing, read

log = logging.getLogger(__name__)

#: What a comparison found up to a week ago is no word on now: those who are told of alerts hear of it.
_OF_NOW = frozenset(AlertName) - {AlertName.RECONCILE_DIFFERENCES}

#: Seconds after which it is worth while to ask again.
_AGAIN = {"Retry-After": "60"}


def status(call: Call) -> Answer:
    """What there is of sites and destinations, and what is broken; with HTTP 503 where anything is.

    :raises Problem: bridge.toml or the settings do not say what is promised.
    """
    read(Nothing, call.query)
    form.choose(call.accept, [Form.JSON])
    try:
        config = read_config()  # each time: it may have been changed since this process began
        with call.service.change() as transaction:
            promises = watch.look(transaction, config, call.now)
    except ConfigurationInvalid as error:
        log.error("The Pull API cannot say how the promises are kept: %s", error)
        raise misconfigured() from None
    broken = [
        {"name": each.name, "subject": each.subject, "words": each.words}
        for each in watch.broken(promises)
        if each.name in _OF_NOW
    ]
    said = {
        "status": "broken" if broken else "ok",
        "checkedAt": _time(call.now),
        "problems": broken,
        **_found(config, promises),
    }
    body = json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()
    return Answer(body, status=503, headers=_AGAIN) if broken else Answer(body)


def _found(config: BridgeConfig, promises: Promises) -> Mapping[str, list[dict[str, object]]]:
    return {
        "sites": [
            {"code": site.code, "extractedAt": _time(promises.extracted.get(site.code))} for site in config.sites
        ],
        "destinations": [
            {"code": code, "waiting": found.waiting.items, "oldest": _time(found.waiting.oldest)}
            for code, found in promises.destinations.items()
        ],
    }


def _time(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).isoformat()
