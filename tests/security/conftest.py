"""A certificate authority of the tests' own, and the certificates of servers on loopback."""

import ssl
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.security.authority import Authority, serving_with


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """What a company signs its servers' certificates with."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def good(authority: Authority) -> Path:
    """A certificate of a server on loopback, as it should be."""
    return authority.certificate("good", "127.0.0.1", "localhost")


@pytest.fixture(scope="session")
def bad(authority: Authority, good: Path) -> Mapping[str, ssl.SSLContext]:
    """Servers that nobody is to believe, although their authority is known; by what is wrong with them."""
    return {
        "another host's name": serving_with(authority.certificate("other", "other.example.com")),
        "expired": serving_with(authority.certificate("expired", "127.0.0.1", days=0)),
        "self-signed": serving_with(authority.certificate("own", "127.0.0.1", self_signed=True)),
        "TLS 1.1": serving_with(good, newest=ssl.TLSVersion.TLSv1_1),
    }


@pytest.fixture(autouse=True)
def nobody_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """No authority is named in the environment, and no proxy."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def believed(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """The authority is named in the environment, as docs/security.md says it."""
    for name in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, str(authority.file))
