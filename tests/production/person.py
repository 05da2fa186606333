"""Somebody with or without a login, who asks Airflow's API server over HTTP."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import requests


class Person:
    """A client."""

    def __init__(self, session: requests.Session, address: str) -> None:
        """Nothing is asked yet.

        :param address: of the API server.
        """
        self._session = session
        self._address = address

    def log_in(self, name: str, password: str) -> str:
        """From now on with the login's token, which this gives."""
        answer = self.ask("POST", "/auth/token", json={"username": name, "password": password})
        token = str(answer.json()["access_token"])
        self._session.headers["Authorization"] = f"Bearer {token}"
        return token

    def ask(self, method: str, path: str, **options: Any) -> requests.Response:
        """What it answers to its own page."""
        headers = {"Sec-Fetch-Site": "same-origin"} | options.pop("headers", {})
        return self._session.request(method, self._address + path, headers=headers, timeout=60, **options)


@contextmanager
def person(address: str, name: str = "", password: str = "") -> Iterator[Person]:
    """Somebody; without a name nobody in particular."""
    with requests.Session() as session:
        session.trust_env = False
        found = Person(session, address)
        if name:
            found.log_in(name, password)
        yield found
