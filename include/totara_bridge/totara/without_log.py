"""A Totara that cannot say what changed: what is alike in the snapshots of all sources but a database."""

from collections.abc import Iterator, Sequence
from datetime import timedelta

from totara_bridge.totara.connection import TotaraConnection
from totara_bridge.totara.source import ReadFile, Window


class WithoutLog:
    """No change log, so no windows, and no history; see `totara_bridge.totara.source.Snapshot`."""

    change_log = False
    newest_log_id = 0
    more = False
    fingerprint: int | None = None

    def __init__(self, connection: TotaraConnection) -> None:
        self.query = connection.query.model_dump_json()
        self.limited = not connection.query.reads_everything

    def window(self, *, after: int, read_at: int, overlap: timedelta) -> Window:
        """Never asked for."""
        raise AssertionError("a source without a change log is asked for a window")

    def history(self, window: Window | None) -> Iterator[bytes]:
        """None."""
        return iter(())

    def changed_pairs(self, window: Window) -> Iterator[bytes]:
        """None."""
        return iter(())

    def whole_courses(self, window: Window) -> Iterator[bytes]:
        """None."""
        return iter(())

    def read_files(self) -> Sequence[ReadFile]:
        """None."""
        return ()
