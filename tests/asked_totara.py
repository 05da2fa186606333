"""How a test reaches a sandbox Totara over HTTP as the product does, and makes things happen between its requests."""

from collections.abc import Callable
from typing import Any

from totara_bridge.sandbox.totara.http.graphql import PATH, GraphqlSwitches, graphql_switches
from totara_bridge.sandbox.totara.http.oauth import CLIENT_ID, CLIENT_SECRET
from totara_bridge.sandbox.totara.http.server import SandboxTotara
from totara_bridge.sandbox.totara.http.site import Fault, Faults
from totara_bridge.totara.connection import TotaraConnection
from totara_bridge.totara.report import Report
from totara_bridge.totara.source import SourceKind


def connection_to(sandbox: SandboxTotara, **changes: Any) -> TotaraConnection:
    """A connection that reads the sandbox's first report, but for the changes."""
    usual: dict[str, Any] = {
        "source": SourceKind.REPORT_QUERY,
        "server_url": sandbox.url,
        "api_client": CLIENT_ID,
        "api_secret": CLIENT_SECRET,
        "report": Report(id=1),
    }
    return TotaraConnection(**usual | changes)


def as_19_1(sandbox: SandboxTotara, *, records_per_page: int = 2_000) -> GraphqlSwitches:
    """The switches of the sandbox's API, which has the query for reports now."""
    switches = graphql_switches(sandbox.site)
    switches.release = (19, 1)
    switches.reports[1].records_per_page = records_per_page
    return switches


class Clock:
    """A time that passes only when it is told to."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now
        self.paused: list[float] = []

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        """Let that time pass instead of waiting."""
        self.paused.append(seconds)
        self.now += seconds


class Meanwhile(Faults):
    """What happens to the site just before one of its API's requests is answered, by the request's number from 1."""

    def __init__(self, acts: dict[int, Callable[[], object]] | None = None) -> None:
        """:param acts: may be added to at any time."""
        super().__init__()
        self.acts = acts or {}
        self.asked = 0

    def take(self, path: str, function: str = "") -> Fault | None:
        """Let it happen; no fault unless one was put."""
        if path == PATH and not function:
            self.asked += 1
            if act := self.acts.pop(self.asked, None):
                act()
        return super().take(path, function)
