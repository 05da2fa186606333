"""An external system that follows the Pull API, keeps what it gets and acknowledges it, whatever happens meanwhile."""

import threading
import time
from collections.abc import Mapping
from typing import Any

import requests

#: Seconds between two questions of whoever has it all, or gets no answer.
_PAUSE = 1.0
_ANSWER = 20.0
_PAGE = 200


class Follower:
    """A copy of all completions, kept by a thread of its own with a cursor."""

    def __init__(self, address: str, token: str) -> None:
        """Nothing was asked yet.

        :param address: of the API, up to its version.
        """
        self.copy: dict[str, dict[str, Any]] = {}  #: the last of each completion, by id
        self.refused = 0  #: questions that had no good answer
        self.waited = 0.0  #: the longest time in seconds between two good answers; whoever asks may set it back
        self._address = address
        self._headers = {"X-Api-Key": token}
        self._asked: dict[str, str] = {"since": "1970-01-01"}
        self._untold: dict[str, int] = {}  #: versions that are to be acknowledged
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="follower")

    def begin(self) -> None:
        """Follow."""
        self._thread.start()

    def stop(self) -> None:
        """Follow no more."""
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()

    def end(self) -> None:
        """Follow no more, but take what there still is; the API must be well."""
        self.stop()
        with self._session() as session:
            while self._step(session):
                pass

    def unacknowledged(self) -> int:
        """How many completions the API holds for not acknowledged by this system."""
        with self._session() as session:
            asked: dict[str, str] = {"since": "1970-01-01", "acknowledged": "false"}
            found, more = 0, True
            while more:
                page = self._get(session, asked)
                found, more = found + len(page["items"]), page["more"]
                asked = {"cursor": page["cursor"]}
            return found

    def _follow(self) -> None:
        with self._session() as session:
            served = time.monotonic()
            while not self._over.is_set():
                try:
                    more = self._step(session)
                    self.waited, served = max(self.waited, time.monotonic() - served), time.monotonic()
                except (requests.RequestException, ValueError):
                    self.refused += 1
                    more = False
                if not more:
                    self._over.wait(_PAUSE)

    def _step(self, session: requests.Session) -> bool:
        """Take a page and acknowledge it; whether there may be more."""
        page = self._get(session, self._asked)
        if page["items"] and self._asked == {"cursor": page["cursor"]}:
            raise ValueError(f"The cursor stays where it is, though items come: {page['cursor']}.")
        for item in page["items"]:
            self.copy[item["id"]] = item
            self._untold[item["id"]] = item["version"]
        self._asked = {"cursor": page["cursor"]}  # after what came with it is kept
        if self._untold:
            self._acknowledge(session, self._untold)
            self._untold = {}
        return bool(page["more"] or page["items"])

    def _acknowledge(self, session: requests.Session, versions: Mapping[str, int]) -> None:
        said = [{"id": name, "version": version, "status": "processed"} for name, version in versions.items()]
        address = f"{self._address}/acknowledgements"
        session.post(address, json=said, headers=self._headers, timeout=_ANSWER).raise_for_status()

    def _get(self, session: requests.Session, asked: Mapping[str, str]) -> dict[str, Any]:
        parameters = {**asked, "limit": str(_PAGE)}
        address = f"{self._address}/completions"
        answer = session.get(address, params=parameters, headers=self._headers, timeout=_ANSWER)
        answer.raise_for_status()
        page: dict[str, Any] = answer.json()
        return page

    def _session(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        return session
