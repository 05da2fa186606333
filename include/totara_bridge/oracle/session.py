"""Requests to Oracle look at no redirect: requests would raise errors of its own at an address that cannot be."""

import requests


class Session(requests.Session):
    """One that is sent on nowhere."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Nowhere."""
        return
