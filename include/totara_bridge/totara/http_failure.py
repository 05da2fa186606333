"""What it means that a request to a Totara got no answer to read: the one table, in sentences."""

from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

import requests
from requests import exceptions

from totara_bridge.errors import TotaraRefused, TotaraUnavailable
from totara_bridge.network import causes, innermost_reason

_LONGEST_REASON = 200


@dataclass(frozen=True, repr=False)
class Place:
    """An address, whose text is without what may be secret in it: user, password, query."""

    url: str
    field: str  #: where in the Airflow Connection it stands

    def __str__(self) -> str:
        """As a person may see it."""
        try:
            parts = urlsplit(self.url)
            port = f":{parts.port}" if parts.port else ""
        except ValueError:
            return "an address that cannot be"
        return f"{parts.scheme}://{self.host}{port}{parts.path}" if parts.scheme else "nowhere"

    @property
    def host(self) -> str:
        """The host's name or address."""
        try:
            return urlsplit(self.url).hostname or ""
        except ValueError:
            return ""

    def leading_to(self, location: str) -> "Place":
        """Where a redirect from here leads."""
        try:
            return Place(urljoin(self.url, location), self.field)
        except ValueError:
            return Place(location, self.field)


class TooManyRequests(TotaraUnavailable):
    """Totara wants to be asked less often (429)."""

    def __init__(self, place: Place, retry_after: float | None) -> None:
        """Say so.

        :param retry_after: seconds that it asks to be left alone; 17.3 does not say (measured).
        """
        when = f" in {retry_after:.0f} s, as it wants" if retry_after else " later"
        super().__init__(
            f"{place} answered 429, too many requests: it will be asked again{when}; if it stays so, lower "
            '"Requests in flight" in the Airflow Connection, or have Totara\'s administrator raise its limits.'
        )
        self.retry_after = retry_after


def refused_status(status: int, place: Place) -> TotaraRefused:
    """A status that says that this is not the address, or not the way to it."""
    if status == 407:
        return TotaraRefused(
            f"The proxy on the way to {place} wants a user and a password (407): put them in HTTPS_PROXY of the "
            "machine that runs the task, or its host in NO_PROXY."
        )
    if status == 413:
        return TotaraRefused(
            f"{place} answered 413, the request is too large: have the administrator of Totara's web server allow "
            "requests of 1 MiB."
        )
    return TotaraRefused(
        f"{place} answered {status}: there is nothing to ask at this address; correct {place.field} (the folder in it "
        "included), or have Totara's administrator open this address in its web server."
    )


def failed(error: requests.RequestException, place: Place) -> TotaraRefused | TotaraUnavailable:
    """What a request without an answer means; never with a header, a query or a form in the sentence."""
    reason = innermost_reason(error)[:_LONGEST_REASON]
    if isinstance(error, exceptions.SSLError):
        return TotaraRefused(
            f"The TLS connection to {place} cannot be made ({reason}): have the server show a certificate of this "
            "name and with its whole chain, or name its authority in REQUESTS_CA_BUNDLE of the machine that runs "
            "the task."
        )
    if isinstance(error, exceptions.ProxyError):
        return TotaraUnavailable(
            f"The proxy on the way to {place} fails ({reason}): correct HTTPS_PROXY or NO_PROXY of the machine that "
            "runs the task."
        )
    if isinstance(error, exceptions.Timeout):
        return TotaraUnavailable(
            f"{place} did not answer in time: open the way to it (firewall, VPN), run where there is one (queue in "
            "bridge.toml), or raise the timeout."
        )
    if not isinstance(error, exceptions.ConnectionError | exceptions.ChunkedEncodingError):
        return TotaraRefused(
            f"The request to {place} cannot be made ({type(error).__name__}): correct {place.field}, and take spaces "
            "and line breaks out of the token or the secret."
        )
    return _not_connected(error, place, reason)


def _not_connected(error: BaseException, place: Place, reason: str) -> TotaraUnavailable:
    names = {type(each).__name__ for each in causes(error)}
    if "NameResolutionError" in names:
        return TotaraUnavailable(
            f"The host {place.host} is not known to DNS on this machine: correct it in {place.field}, or run where "
            "the name is known (queue in bridge.toml)."
        )
    if "NewConnectionError" in names:
        return TotaraUnavailable(
            f"No connection to {place} can be made ({reason}): correct host and port in {place.field}, or start the "
            "server."
        )
    return TotaraUnavailable(f"{place} broke off its answer ({reason}): it will be asked again.")
