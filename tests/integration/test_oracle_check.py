"""Test connection for Oracle says what is there, or which step failed and what to do: one cause per test."""

import datetime
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from totara_bridge.errors import BridgeError, OracleRefused, OracleUnavailable
from totara_bridge.oracle.access import OracleAccess
from totara_bridge.oracle.check import check
from totara_bridge.sandbox.oracle.server import SandboxOracle

_SCOPE = "urn:opc:resource:consumer::all"


@pytest.fixture(scope="module")
def running() -> Iterator[SandboxOracle]:
    """One sandbox for all tests here."""
    with SandboxOracle() as sandbox:
        yield sandbox


@pytest.fixture
def oracle(running: SandboxOracle) -> SandboxOracle:
    """The sandbox as it is when nothing goes wrong."""
    running.faults()
    running.settings(token_lifetime=3600, tell_lifetime=True, granted_scope=None, empty_answers=False)
    return running


def _access(oracle: SandboxOracle, **changes: Any) -> OracleAccess:
    return OracleAccess(
        **{
            "base_url": oracle.url,
            "token_url": oracle.token_url,
            "client_id": oracle.client_id,
            "client_secret": oracle.client_secret,
            "scope": _SCOPE,
            "path": oracle.path,
            "timeout": 20.0,
            **changes,
        }
    )


def _told(kind: type[BridgeError], access: OracleAccess) -> str:
    with pytest.raises(kind) as caught:
        check(access)
    assert access.client_secret not in str(caught.value)
    return str(caught.value)


def test_what_is_there(oracle: SandboxOracle) -> None:
    assert check(_access(oracle)) == (
        f"The token from {oracle.token_url} holds 3600 s with the scope {_SCOPE}, and "
        f"{oracle.url}/completions was reached with it: it answered an empty batch with 400."
    )


def test_nothing_is_stored_by_the_test(oracle: SandboxOracle) -> None:
    before = oracle.stored_keys()
    check(_access(oracle))
    assert oracle.stored_keys() == before


def test_an_endpoint_that_takes_an_empty_batch(oracle: SandboxOracle) -> None:
    oracle.faults({"match": {}, "action": {"status": 204}})
    assert check(_access(oracle)).endswith("it answered an empty batch with 204.")


def test_the_credentials_in_the_body(oracle: SandboxOracle) -> None:
    assert "was reached" in check(_access(oracle, client_authentication="body"))


def test_no_lifetime_and_no_scope(oracle: SandboxOracle) -> None:
    oracle.settings(tell_lifetime=False)
    found = check(_access(oracle, scope=""))
    assert f"The token from {oracle.token_url} does not say how long it holds, and {oracle.url}" in found


def test_another_scope_is_granted(oracle: SandboxOracle) -> None:
    oracle.settings(granted_scope="urn:narrow")
    assert f"with the scope urn:narrow instead of {_SCOPE}" in check(_access(oracle))


def test_wrong_credentials(oracle: SandboxOracle) -> None:
    said = _told(OracleRefused, _access(oracle, client_secret="wr0ng-secret"))
    assert said == (
        f"The token endpoint {oracle.token_url} gives no token, it answers 401 (invalid_client: Client "
        "authentication failed.): correct the client ID and the client secret, or the client authentication."
    )


def test_wrong_scope(oracle: SandboxOracle) -> None:
    said = _told(OracleRefused, _access(oracle, scope="urn:wrong"))
    assert "answers 400 (invalid_scope: The client asked for a scope that it may not have.): correct the scope" in said
    assert "'urn:wrong'" in said


def test_the_application_may_not_use_client_credentials(oracle: SandboxOracle) -> None:
    oracle.faults({"match": {"endpoint": "token"}, "action": {"status": 400, "body": {"error": "unauthorized_client"}}})
    assert "allow the application the grant type Client Credentials" in _told(OracleRefused, _access(oracle))


def test_wrong_token_url(oracle: SandboxOracle) -> None:
    said = _told(OracleRefused, _access(oracle, token_url=f"{oracle.url}/oauth/token"))
    assert said.startswith(f"The token endpoint {oracle.url}/oauth/token gives no token, it answers 404")
    assert said.endswith("correct the token URL, as it ends with /oauth2/v1/token in an identity domain.")


def test_a_page_instead_of_a_token(oracle: SandboxOracle) -> None:
    oracle.faults({"match": {"endpoint": "token"}, "action": {"html": True}})
    assert "answers 200 (Signed out): correct the token URL" in _told(OracleRefused, _access(oracle))


def test_the_token_endpoint_is_down(oracle: SandboxOracle) -> None:
    oracle.faults({"match": {"endpoint": "token"}, "action": {"status": 503}})
    said = _told(OracleUnavailable, _access(oracle))
    assert said == f"The token endpoint {oracle.token_url} answers 503 now: try again later."


@pytest.mark.parametrize("status", [401, 403])
def test_the_endpoint_refuses_the_token(oracle: SandboxOracle, status: int) -> None:
    oracle.faults({"match": {}, "action": {"status": status, "body": {"title": "Not for you"}}})
    assert _told(OracleRefused, _access(oracle)) == (
        f"The token was issued, but {oracle.url}/completions refuses it with {status} (Not for you): make a "
        f"Fusion user whose name is exactly the client ID {oracle.client_id}, give it the role that the "
        "endpoint asks for, and check that the scope is the one of this endpoint."
    )


def test_the_endpoint_refuses_a_token_of_another_scope(oracle: SandboxOracle) -> None:
    oracle.settings(granted_scope="urn:narrow")
    oracle.faults({"match": {}, "action": {"status": 403}})
    said = _told(OracleRefused, _access(oracle))
    assert f"(the token was issued, but for the scope urn:narrow and not for {_SCOPE})." in said


def test_wrong_path(oracle: SandboxOracle) -> None:
    said = _told(OracleRefused, _access(oracle, path="/completion"))
    assert said.startswith(f"The completions endpoint {oracle.url}/completion is none, it answers 404")
    assert said.endswith("correct the path '/completion' or the base URL.")


@pytest.mark.parametrize(
    "action", [{"status": 405}, {"status": 302, "headers": {"Location": "/login"}}, {"html": True}]
)
def test_something_else_is_at_the_path(oracle: SandboxOracle, action: dict[str, object]) -> None:
    oracle.faults({"match": {}, "action": action})
    assert "is none, it answers" in _told(OracleRefused, _access(oracle))


def test_another_contract(oracle: SandboxOracle) -> None:
    oracle.faults({"match": {}, "action": {"status": 415}})
    assert "answers an empty batch with 415: compare it with the published contract" in _told(
        OracleRefused, _access(oracle)
    )


def test_the_endpoint_is_down(oracle: SandboxOracle) -> None:
    oracle.faults({"match": {}, "action": {"status": 503}})
    said = _told(OracleUnavailable, _access(oracle))
    assert said == f"The completions endpoint {oracle.url}/completions answers 503 now: try again later."


@pytest.mark.parametrize(("field", "label"), [("token_url", "token URL"), ("base_url", "base URL")])
def test_dns(oracle: SandboxOracle, field: str, label: str) -> None:
    said = _told(OracleUnavailable, _access(oracle, **{field: "https://oracle.invalid/here"}))
    assert said.endswith(f"has a host that is not known to DNS on this machine: correct the {label}.")


@pytest.mark.parametrize(("field", "label"), [("token_url", "token URL"), ("base_url", "base URL")])
def test_refused(oracle: SandboxOracle, field: str, label: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # taken, so that nobody else gets it, but not listened at
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        said = _told(OracleUnavailable, _access(oracle, **{field: address}))
    assert f"takes no connection: no connection (Connection refused); correct host and port in the {label}" in said


@pytest.mark.parametrize("field", ["token_url", "base_url"])
def test_no_answer(oracle: SandboxOracle, field: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        said = _told(OracleUnavailable, _access(oracle, **{field: address}, timeout=2.0))
    assert "did not answer: no answer in time" in said
    assert said.endswith("; open the way to it (firewall, proxy), or raise the timeout.")


@pytest.mark.parametrize(("field", "label"), [("token_url", "token URL"), ("base_url", "base URL")])
def test_no_tls_there(oracle: SandboxOracle, field: str, label: str) -> None:
    said = _told(OracleRefused, _access(oracle, **{field: oracle.url.replace("http:", "https:")}))
    assert "does not complete TLS: TLS failed" in said
    assert f"correct the {label}, or give this machine the certificate authority" in said


@pytest.mark.parametrize("field", ["token_url", "base_url"])
def test_a_certificate_that_nobody_signed(oracle: SandboxOracle, field: str, self_signed: str) -> None:
    said = _told(OracleRefused, _access(oracle, **{field: self_signed}))
    assert "does not complete TLS: TLS failed (self-signed certificate" in said


@pytest.fixture
def self_signed(tmp_path: Path) -> Iterator[str]:
    """The address of a server that greets one caller with a certificate of its own making."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_certificate(tmp_path / "certificate.pem"))
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            caller, _ = listener.accept()
            with caller, pytest.raises(ssl.SSLError):
                context.wrap_socket(caller, server_side=True)

        server = threading.Thread(target=greet)
        server.start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"
        server.join()


def _certificate(file: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return file
