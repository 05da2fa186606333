"""An external system that fetches completions."""

from types import TracebackType
from typing import Any, Self

import requests


class Puller:
    """Calls the Pull API; for ``with``."""

    def __init__(self, address: str, token: str) -> None:
        """Nothing was asked yet."""
        self.address = address
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["X-Api-Key"] = token

    def get(self, path: str, *, accept: str | None = None, **parameters: Any) -> requests.Response:
        """Ask, whatever the answer is; a parameter that is none is left out."""
        headers = {} if accept is None else {"Accept": accept}
        return self.session.get(self.address + path, params=parameters, headers=headers, timeout=60)

    def fetch(self, path: str = "/completions", **parameters: Any) -> dict[str, Any]:
        """What is served there, as JSON."""
        answer = self.get(path, **parameters)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def post(self, path: str, body: Any) -> requests.Response:
        """Send JSON, whatever the answer is."""
        return self.session.post(self.address + path, json=body, timeout=60)

    def __enter__(self) -> Self:
        """Call."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Call no more."""
        self.session.close()
