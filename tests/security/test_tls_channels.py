"""Alerts go to servers whose certificate is good, whatever their Connection says: webhooks, Apprise, and mail."""

import json
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.receivers import Mailbox, Webhook
from tests.security.authority import serving_with
from tests.security.notices import notice
from tests.security.tls_front import TlsFront, tls_front
from totara_bridge.orchestration.channels import tell, why
from totara_bridge.settings import Channel

# Airflow's hooks warn about their own dependencies; ours stay errors
pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.filterwarnings("error:::totara_bridge")]


@dataclass(frozen=True)
class Told:
    """A channel behind TLS."""

    port: int
    connection: Callable[[TlsFront], dict[str, Any]]  #: to the front; its options ask not to verify
    heard: Callable[[], int]  #: how many notices have come


def _webhook(webhook: Webhook, _: Mailbox) -> Told:
    def connection(front: TlsFront) -> dict[str, Any]:
        return {"conn_type": "http", "host": f"{front.url}/hook", "extra": {"verify": False, "verify_ssl": False}}

    return Told(webhook.port, connection, lambda: len(webhook.bodies))


def _apprise(webhook: Webhook, _: Mailbox) -> Told:
    def connection(front: TlsFront) -> dict[str, Any]:
        path = f"jsons://127.0.0.1:{front.port}/apprise?verify=no"
        return {"conn_type": "apprise", "extra": {"config": {"path": path}}}

    return Told(webhook.port, connection, lambda: len(webhook.bodies))


def _mail(_: Webhook, mailbox: Mailbox) -> Told:
    def connection(front: TlsFront) -> dict[str, Any]:
        extra = {"from_email": "bridge@example.com", "disable_tls": True, "ssl_context": "none"}
        return {"conn_type": "smtp", "host": "127.0.0.1", "port": front.port, "extra": extra}

    return Told(mailbox.port, connection, lambda: len(mailbox.mails))


@pytest.fixture(params=[_webhook, _apprise, _mail], ids=["webhook", "Apprise", "mail"])
def told(request: pytest.FixtureRequest) -> Iterator[Told]:
    """Each kind of channel in its turn."""
    with Webhook() as webhook, Mailbox() as mailbox:
        yield request.param(webhook, mailbox)


def _send(told: Told, front: TlsFront, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_CHANNEL", json.dumps(told.connection(front)))
    tell(Channel(connection="channel", to=("ann@example.com",)), notice(), None)


def test_an_authority_of_ones_own_is_believed_once_it_is_named(
    told: Told, good: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    with tls_front(told.port, serving_with(good)) as front:
        with pytest.raises(Exception) as failed:
            _send(told, front, monkeypatch)
        assert why(failed.value)
        assert (told.heard(), front.let_through) == (0, 0)
        request.getfixturevalue("believed")
        _send(told, front, monkeypatch)
    assert told.heard() == 1


def test_a_server_that_is_not_to_be_believed_is_told_nothing(
    told: Told, bad: Mapping[str, ssl.SSLContext], believed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for wrong, context in bad.items():
        with tls_front(told.port, context) as front:
            with pytest.raises(Exception):  # noqa: B017  each library raises its own
                _send(told, front, monkeypatch)
            assert (told.heard(), front.let_through) == (0, 0), wrong


@pytest.mark.parametrize(
    "connection",
    [
        {"host": "http://hooks.example.com/x"},
        {"host": "hooks.example.com/x"},
        {"host": "hooks.example.com/x", "schema": "http"},
        {"host": "HTTP://hooks.example.com/x"},
    ],
)
def test_a_webhook_without_tls_is_used_on_this_machine_only(
    connection: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"conn_type": "http", "password": "s3cret-path"} | connection
    monkeypatch.setenv("AIRFLOW_CONN_CHANNEL", json.dumps(given))
    with pytest.raises(Exception, match="unencrypted: write its host with https://") as refused:
        tell(Channel(connection="channel"), notice(), None)
    assert "s3cret" not in str(refused.value)
