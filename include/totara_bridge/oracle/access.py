"""Where a destination is and as whom it is used, checked before anything is sent there."""

import math
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import SplitResult, urlsplit

from totara_bridge.errors import ConfigurationInvalid
from totara_bridge.network import is_loopback

ClientAuthentication = Literal["basic", "body"]


@dataclass(frozen=True, kw_only=True)
class OracleAccess:
    """One destination's addresses and credentials.

    :raises ConfigurationInvalid: something is missing or cannot be; names the field, never a secret.
    """

    base_url: str  #: ``https://host[:port][/prefix]``; plain http to loopback only
    token_url: str
    client_id: str
    client_secret: str = field(repr=False)
    scope: str = ""  #: asked for only when set
    path: str = "/completions"
    timeout: float = 30.0  #: seconds, for connecting and for each answer
    client_authentication: ClientAuthentication = "basic"  #: where the token request carries the credentials

    def __post_init__(self) -> None:
        for name in ("base_url", "token_url", "client_id", "client_secret"):
            value = getattr(self, name)
            if not value:
                raise _invalid(f"has no {name}: give one")
            if value != value.strip():
                raise _invalid(f"has blanks around its {name}: remove them")
        _check_url("base_url", self.base_url)
        _check_url("token_url", self.token_url)
        if not self.path.startswith("/") or set(self.path) & set(" ?#\\") or not self.path.isprintable():
            raise _invalid(f"has the path {self.path!r}: write it as /completions, without blanks, ? and #")
        if not (math.isfinite(self.timeout) and self.timeout > 0):
            raise _invalid(f"has the timeout {self.timeout}: give a number of seconds above 0")
        if self.client_authentication not in ("basic", "body"):
            raise _invalid(f"has client_authentication {self.client_authentication!r}: write basic or body")
        if self.client_authentication == "basic" and ":" in self.client_id:
            raise _invalid("has a colon in its client_id, which Basic cannot carry: set client_authentication to body")

    @property
    def endpoint(self) -> str:
        """The completions endpoint."""
        return self.base_url.rstrip("/") + self.path


def _check_url(name: str, url: str) -> None:
    parts = _split(name, url)
    if "@" in parts.netloc:
        raise _invalid(f"has credentials inside its {name}: move them to client_id and client_secret")
    if parts.query or parts.fragment:
        raise _invalid(f"has a query or a fragment in its {name}: end the address before ? and #")
    if parts.scheme not in ("http", "https") or not parts.hostname or not url.isprintable() or " " in url:
        raise _invalid(f"has a {name} that is no address: write https://host/path")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise _invalid(f"would send secrets unencrypted to {parts.hostname}: write its {name} with https://")


def _split(name: str, url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises where it is no number
    except ValueError as error:
        raise _invalid(f"has a {name} that is no address: write https://host/path") from error
    return parts


def _invalid(words: str) -> ConfigurationInvalid:
    return ConfigurationInvalid(f"The Oracle connection {words} in the Airflow Connection.")
