"""A test's ways to order faults at a running sandbox Oracle, and to ask what came."""

from typing import Any

import requests


class Orders:
    """Orders for the sandbox Oracle at an address, whichever process runs it."""

    def __init__(self, url: str) -> None:
        """Nothing is asked yet.

        :param url: ``http://127.0.0.1:8070``
        """
        self.url = url

    def faults(self, *faults: dict[str, Any]) -> None:
        """Order these faults instead of those before; none: nothing goes wrong."""
        self._call("PUT", "faults", json=list(faults))

    def settings(self, **settings: Any) -> None:
        """Change how it behaves when nothing goes wrong."""
        self._call("PUT", "settings", json=settings)

    def release(self) -> None:
        """Let the requests that hang now go on."""
        self._call("POST", "release")

    def revoke_tokens(self) -> None:
        """No token that was given out before holds any more."""
        self._call("POST", "revoke-tokens")

    def tokens(self) -> list[str]:
        """Every access token that was given out since it was started."""
        return list(self._call("GET", "tokens"))

    def received(self, **limits: Any) -> dict[str, Any]:
        """Counts, of one ``key`` or ``user_id`` if asked."""
        return dict(self._call("GET", "received", params=limits))

    def stored_keys(self) -> list[str]:
        """The keys that were accepted, in the order they came."""
        return list(self.received(keys=True)["stored"])

    def times_received(self) -> dict[str, int]:
        """How often each key came, accepted or not."""
        return dict(self.received(keys=True)["times"])

    def items(self, **limits: Any) -> list[dict[str, Any]]:
        """What was accepted, newest first: one ``key`` or ``user_id`` if asked, up to ``limit``."""
        return list(self._call("GET", "received/items", params=limits))

    def requests(self, **limits: Any) -> list[dict[str, Any]]:
        """Requests for completions, newest first: in one ``state`` or with one ``status`` if asked."""
        return list(self._call("GET", "received/requests", params=limits))

    def wait(self, **counts: int) -> dict[str, Any]:
        """Return once so many ``requests`` came, are ``in_flight``, or so many ``keys_stored``."""
        return dict(self._call("GET", "wait", params=counts, timeout=600))

    def _call(self, method: str, path: str, *, timeout: float = 60, **options: Any) -> Any:
        with requests.Session() as session:
            session.trust_env = False
            answer = session.request(method, f"{self.url}/sandbox/{path}", timeout=timeout, **options)
            if not answer.ok:
                raise ValueError(f"The sandbox Oracle does not understand {path}: {answer.text}")
            return answer.json()
