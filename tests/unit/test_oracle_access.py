"""What an Oracle connection may say."""

from typing import Any

import pytest

from totara_bridge.errors import ConfigurationInvalid
from totara_bridge.oracle.access import OracleAccess

GOOD: dict[str, Any] = {
    "base_url": "https://oracle.example/api/",
    "token_url": "https://idcs.example/oauth2/v1/token",
    "client_id": "bridge",
    "client_secret": "hush-hush",
}


def test_the_endpoint_is_base_url_and_path() -> None:
    assert OracleAccess(**GOOD).endpoint == "https://oracle.example/api/completions"
    assert OracleAccess(**GOOD | {"path": "/v2/items"}).endpoint == "https://oracle.example/api/v2/items"


def test_the_secret_is_not_in_the_repr() -> None:
    assert "hush-hush" not in repr(OracleAccess(**GOOD))


@pytest.mark.parametrize("host", ["127.0.0.1:8090", "127.8.9.1", "[::1]:8090", "localhost"])
def test_plain_http_is_for_loopback(host: str) -> None:
    access = OracleAccess(**GOOD | {"base_url": f"http://{host}", "token_url": f"http://{host}/token"})
    assert access.endpoint == f"http://{host}/completions"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"base_url": ""}, "base_url"),
        ({"token_url": ""}, "token_url"),
        ({"client_id": ""}, "client_id"),
        ({"client_secret": ""}, "client_secret"),
        ({"client_secret": "hush-hush\n"}, "client_secret"),
        ({"base_url": "http://oracle.example"}, "https"),
        ({"token_url": "http://10.0.0.1/token"}, "https"),
        ({"base_url": "http://localhost.example"}, "https"),
        ({"base_url": "http://127.0.0.1.example"}, "https"),
        ({"base_url": "https://me:hush-hush@oracle.example"}, "credentials"),
        ({"token_url": "https://idcs.example/token?client_secret=hush-hush"}, "query"),
        ({"base_url": "https://oracle.example/#top"}, "fragment"),
        ({"base_url": "oracle.example"}, "address"),
        ({"base_url": "ftp://oracle.example"}, "address"),
        ({"base_url": "https://"}, "address"),
        ({"base_url": "https://[::1"}, "address"),
        ({"base_url": "https://oracle.example:port"}, "address"),
        ({"base_url": "https://oracle.example/a b"}, "address"),
        ({"path": "completions"}, "path"),
        ({"path": "/completions?x=1"}, "path"),
        ({"path": "/comple\ntions"}, "path"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"timeout": float("inf")}, "timeout"),
        ({"client_authentication": "digest"}, "client_authentication"),
        ({"client_id": "a:b"}, "colon"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(change: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationInvalid) as refused:
        OracleAccess(**GOOD | change)
    sentence = str(refused.value)
    assert named in sentence
    assert "hush-hush" not in sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence
