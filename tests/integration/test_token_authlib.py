"""The token code against an OAuth2 server that others wrote: Authlib's."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from authlib.integrations.flask_oauth2 import AuthorizationServer, ResourceProtector, current_token
from authlib.oauth2.rfc6749 import ClientMixin, grants, scope_to_list
from authlib.oauth2.rfc6750 import BearerTokenValidator
from flask import Flask, Response, jsonify
from werkzeug.serving import make_server

from totara_bridge.errors import OracleRefused
from totara_bridge.oracle.access import OracleAccess
from totara_bridge.oracle.sender import Sender
from totara_bridge.oracle.token import TokenHolder
from totara_bridge.oracle.verdict import Outcome

ALLOWED = "completions.write learners.read"


class Client(ClientMixin):  # type: ignore[misc]  # Authlib has no types
    """The one client that the server knows."""

    def __init__(self, method: str) -> None:
        self._method = method

    def get_client_id(self) -> str:
        return "bridge"

    def get_allowed_scope(self, scope: str) -> str:
        return " ".join(each for each in scope_to_list(scope) or [] if each in ALLOWED.split())

    def check_client_secret(self, client_secret: str) -> bool:
        return client_secret == "pä$$:word&more"

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == self._method

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "client_credentials"


class ClientCredentials(grants.ClientCredentialsGrant):  # type: ignore[misc]
    TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic", "client_secret_post")


@dataclass
class Server:
    """A running Authlib server that also protects a completions endpoint."""

    url: str = ""
    method: str = "client_secret_basic"
    issued: dict[str, Any] = field(default_factory=dict)


class _Token:
    """An issued token as Authlib wants to see it."""

    def __init__(self, scope: str, revoked: bool) -> None:
        self._scope, self._revoked = scope, revoked

    def get_scope(self) -> str:
        return self._scope

    def is_expired(self) -> bool:
        return False

    def is_revoked(self) -> bool:
        return self._revoked


def an_app(server: Server) -> Flask:
    app = Flask("authlib-server")
    app.config["OAUTH2_TOKEN_EXPIRES_IN"] = {"client_credentials": 120}

    def save_token(token: dict[str, Any], _request: Any) -> None:
        server.issued[token["access_token"]] = token

    oauth = AuthorizationServer(app, lambda name: Client(server.method) if name == "bridge" else None, save_token)
    oauth.register_grant(ClientCredentials)

    class Validator(BearerTokenValidator):  # type: ignore[misc]
        def authenticate_token(self, token_string: str) -> _Token | None:
            token = server.issued.get(token_string)
            return _Token(token.get("scope") or "", token.get("revoked", False)) if token else None

    protect = ResourceProtector()
    protect.register_token_validator(Validator())

    def token() -> Any:
        return oauth.create_token_response()

    def completions() -> Response:
        return jsonify({"scope": current_token.get_scope()})

    app.add_url_rule("/token", view_func=token, methods=["POST"])
    app.add_url_rule("/completions", view_func=protect()(completions), methods=["POST"])
    return app


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")  # the server's own switch; the bridge needs none
    state = Server()
    running = make_server("127.0.0.1", 0, an_app(state), threaded=True)
    state.url = f"http://127.0.0.1:{running.server_port}"
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    yield state
    running.shutdown()
    thread.join()
    running.server_close()


def access_to(server: Server, **changes: Any) -> OracleAccess:
    usual = {"base_url": server.url, "token_url": f"{server.url}/token", "client_id": "bridge"}
    return OracleAccess(**usual | {"client_secret": "pä$$:word&more"} | changes)


@pytest.mark.parametrize(("where", "method"), [("basic", "client_secret_basic"), ("body", "client_secret_post")])
def test_authlib_gives_a_token(server: Server, where: str, method: str) -> None:
    server.method = method
    token = TokenHolder(access_to(server, client_authentication=where, scope=ALLOWED)).current()
    assert server.issued[token]["scope"] == ALLOWED
    assert server.issued[token]["expires_in"] == 120


def test_authlib_refuses_the_other_client_authentication(server: Server) -> None:
    with pytest.raises(OracleRefused, match=r"40[01] \(invalid_client.*client_authentication"):
        TokenHolder(access_to(server, client_authentication="body")).current()


def test_authlib_refuses_a_wrong_secret(server: Server) -> None:
    with pytest.raises(OracleRefused, match="invalid_client"):
        TokenHolder(access_to(server, client_secret="wrong-one")).current()


def test_authlib_narrows_the_scope(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    token = TokenHolder(access_to(server, scope="completions.write everything")).current()
    assert server.issued[token]["scope"] == "completions.write"
    assert "issued, but for the scope completions.write and not for everything" in caplog.text


def test_a_batch_passes_authlibs_resource_protector(server: Server) -> None:
    access = access_to(server, scope="completions.write")
    with Sender(access, TokenHolder(access)) as sender:
        assert sender.send(["K1"], ["{}"]).verdicts["K1"].outcome is Outcome.SENT
        for token in server.issued.values():
            token["revoked"] = True
        assert sender.send(["K1"], ["{}"]).verdicts["K1"].outcome is Outcome.SENT
    assert len(server.issued) == 2
