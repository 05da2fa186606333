"""A client of a sandbox Totara's external API, and a site's answers to what it asks."""

import json
from types import TracebackType
from typing import Any, Self

import requests

from totara_bridge.sandbox.totara.http.graphql import PATH, GraphqlSwitches, graphql_switches
from totara_bridge.sandbox.totara.http.oauth import CLIENT_ID, CLIENT_SECRET
from totara_bridge.sandbox.totara.http.oauth import PATH as TOKEN_PATH
from totara_bridge.sandbox.totara.http.server import SandboxTotara


class Asking:
    """For ``with``: one connection to a running site, with a token once one is needed."""

    def __init__(self, sandbox: SandboxTotara) -> None:
        """No token yet."""
        self.site = sandbox.site
        self._url = sandbox.url
        self._session = requests.Session()
        self._session.trust_env = False
        self._token = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session.close()

    @property
    def switches(self) -> GraphqlSwitches:
        """Those of the site's external API."""
        return graphql_switches(self.site)

    def send(self, method: str, path: str, **options: Any) -> requests.Response:
        """One request as it is."""
        return self._session.request(method, self._url + path, timeout=60, **options)

    def token(self) -> str:
        """A token, the same each time."""
        if not self._token:
            form = {"grant_type": "client_credentials", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
            self._token = self.send("POST", TOKEN_PATH, data=form).json()["access_token"]
        return self._token

    def ask(self, query: str, **variables: Any) -> requests.Response:
        """One query."""
        headers = {"Authorization": f"Bearer {self.token()}"}
        return self.send("POST", PATH, json={"query": query, "variables": variables}, headers=headers)

    def data(self, query: str, **variables: Any) -> Any:
        """The data of a query that goes well."""
        answer = self.ask(query, **variables).json()
        assert "errors" not in answer, json.dumps(answer)
        return answer["data"]

    def error(self, query: str, **variables: Any) -> dict[str, Any]:
        """The only error of a query that has no data, answered with 200."""
        answered = self.ask(query, **variables)
        answer = answered.json()
        assert answered.status_code == 200
        assert "data" not in answer
        (error,) = answer["errors"]
        return dict(error)
