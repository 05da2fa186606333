"""Who gets in: the rules about tokens, and the one good item that the other rules build on."""

import secrets

from totara_bridge.errors import OracleRefused, OracleUnavailable
from totara_bridge.oracle.conformance.probe import Probe
from totara_bridge.oracle.conformance.rule import Broken


def token_is_issued(probe: Probe) -> None:
    """Ask for a token."""
    try:
        probe.tokens.current()
    except (OracleRefused, OracleUnavailable) as error:
        # the sentence's second half speaks to whoever keeps the bridge's Airflow Connection
        raise Broken("200 and JSON with access_token", str(error).partition(";")[0]) from error


def good_item_is_stored(probe: Probe) -> None:
    """Post one item."""
    exchange = probe.send(probe.item())
    if not exchange.taken:
        raise Broken("2xx, empty or with the result stored", exchange)


def no_token_is_refused(probe: Probe) -> None:
    """Post one item without a token."""
    _refused(probe, "")


def wrong_token_is_refused(probe: Probe) -> None:
    """Post one item with a token of our own making."""
    _refused(probe, secrets.token_urlsafe(24))


def _refused(probe: Probe, token: str) -> None:
    exchange = probe.send(probe.item(), token=token)
    if exchange.status != 401:
        raise Broken("401", exchange)
