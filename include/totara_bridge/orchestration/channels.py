"""How a channel is told: each kind of Airflow Connection that alerts go through, by Airflow's own notifiers."""

import logging
from smtplib import SMTPDataError
from typing import Any
from urllib.parse import urlsplit

from airflow.providers.http.notifications.http import HttpNotifier
from airflow.sdk.bases.hook import BaseHook
from airflow.sdk.exceptions import AirflowException, AirflowNotFoundException
from airflow.sdk.log import mask_secret
from requests import HTTPError, RequestException

from totara_bridge.errors import BridgeError, ChannelFailed, ConfigurationInvalid
from totara_bridge.network import leads_here, proxies_to
from totara_bridge.oracle.failures import failure_of
from totara_bridge.oracle.words import shorten
from totara_bridge.orchestration import wording
from totara_bridge.settings import Channel
from totara_bridge.staging.notice import Notice

log = logging.getLogger(__name__)

#: Seconds until a webhook that does not answer is given up for this time.
_TIMEOUT = 10

#: A shorter path in an address, such as /hook, is no secret.
_SHORTEST_SECRET = 20

_FORMS = {"json": wording.document, "slack": wording.slack, "teams": wording.teams}


def tell(channel: Channel, notice: Notice, base_url: str | None) -> None:
    """Send one notice; whatever the channel's library raises where it cannot: `why` says it in words.

    :param base_url: of Airflow's UI.
    """
    connection = _connection(channel)
    if connection.conn_type == "smtp":
        _mail(channel, notice, base_url)
    elif connection.conn_type == "http":
        _post(channel, connection, notice, base_url)
    elif connection.conn_type == "apprise":
        _through_apprise(channel, connection, notice, base_url)
    else:
        raise ConfigurationInvalid(
            f"The Airflow Connection {channel.connection} is of type {connection.conn_type}, but alerts go through "
            "smtp, http or apprise: make one of these, and name it in the setting alert_channels."
        )


def why(error: Exception) -> str:
    """Why a channel was not told: no address, which may be a secret in itself, and no credentials."""
    if isinstance(error, BridgeError):
        return str(error)
    if isinstance(error, RequestException):
        return failure_of(error).words
    if isinstance(error, AirflowException):  # of the HTTP hook: the status
        lost = _lost(error)
        return shorten(f"no answer ({lost})" if lost else f"it answered {error}") or "it refused"
    return shorten(f"{type(error).__name__}: {error}") or type(error).__name__


def is_out_of_reach(error: BaseException) -> bool:
    """Whether there was no connection, or no answer in time: what all network libraries tell by an `OSError`.

    A mail or request that was refused was answered; Apprise does not say which it was.
    """
    return isinstance(error, ChannelFailed) or _lost(error) is not None


def _lost(error: BaseException) -> OSError | None:
    """What the connection was lost by: Airflow's hooks raise errors of their own, on which that one hangs."""
    found: BaseException | None = error
    while found is not None and not isinstance(found, HTTPError | SMTPDataError):
        if isinstance(found, OSError):
            return found
        found = found.__cause__ or found.__context__
    return None


def _connection(channel: Channel) -> Any:
    try:
        return BaseHook.get_connection(channel.connection)
    except AirflowNotFoundException as error:
        raise ConfigurationInvalid(
            f"There is no Airflow Connection {channel.connection}: create it (docs/alerts.md), or take it out of the "
            "setting alert_channels."
        ) from error


def _mail(channel: Channel, notice: Notice, base_url: str | None) -> None:
    from totara_bridge.orchestration.mail import Mail  # noqa: PLC0415  every task would pay for it

    if not channel.to:
        raise ConfigurationInvalid(
            f"Nobody is named who gets the e-mails of {channel.connection}: add to, a list of addresses, to it in the "
            "setting alert_channels."
        )
    Mail(
        to=list(channel.to),
        subject=wording.title(notice),
        html_content=wording.html(notice, base_url),
        smtp_conn_id=channel.connection,
    ).notify({})


def _post(channel: Channel, connection: Any, notice: Notice, base_url: str | None) -> None:
    """Post it to the Connection's address; a password without a login is the rest of the address, kept secret."""
    host = connection.host or ""
    address = host if "://" in host else f"{connection.schema or 'http'}://{host}"  # as Airflow's hook reads it
    if len(path := urlsplit(address).path) >= _SHORTEST_SECRET:
        mask_secret(path)  # Airflow's hook logs the address where there is no connection
    if urlsplit(address).scheme != "https" and not leads_here(address):
        raise ConfigurationInvalid(
            f"The Airflow Connection {channel.connection} would send alerts, and what opens the channel, unencrypted: "
            "write its host with https://."
        )
    way = proxies_to(address)  # none: as the Connection and the environment say
    HttpNotifier(
        http_conn_id=channel.connection,
        endpoint=None if connection.login else connection.password,
        json=_FORMS[channel.form](notice, base_url),
        # after a redirect it would come as a GET, without what it says
        # and whatever the Connection says, its certificate is verified
        extra_options={"timeout": _TIMEOUT, "max_redirects": 0, "check_response": True, "verify": True}
        | ({} if way is None else {"proxies": way}),
    ).notify({})


def _through_apprise(channel: Channel, connection: Any, notice: Notice, base_url: str | None) -> None:
    """It is told if any of its services takes it.

    Airflow's own notifier keeps to itself whether Apprise could deliver, so its hook only gives the services.
    """
    from airflow.providers.apprise.hooks.apprise import AppriseHook  # noqa: PLC0415  every task would pay for it
    from apprise import Apprise, NotifyFormat  # noqa: PLC0415

    services = Apprise()
    AppriseHook(channel.connection).set_config_from_conn(connection, services)
    title, body = wording.title(notice), wording.text(notice, base_url)
    failed = []
    for number, service in enumerate(services, 1):
        alone = Apprise()
        alone.add(service)
        service.verify_certificate, service.redirects = True, False  # whatever its address says
        # said to be text, Apprise escapes what a service would read as markup, as a link or as a call for everybody
        if not alone.notify(title=title, body=body, body_format=NotifyFormat.TEXT, tag="all"):
            failed.append(f"number {number} ({service.service_name})")
    if len(failed) == len(services):
        raise ChannelFailed(
            f"Apprise could not deliver to any service of the Airflow Connection {channel.connection}: the lines "
            "above in the task's log say why."
        )
    if failed:  # tried again, it would come once more to those that took it
        log.warning(
            "the channel %s was told, but not its service %s: the lines above say why",
            channel.connection,
            ", ".join(failed),
        )
