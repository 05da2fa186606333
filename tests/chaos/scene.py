"""One cell of the matrix: a full queue, a sandbox Oracle, the senders between them, and what can be seen of them."""

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, LiteralString

import psycopg
from sqlalchemy import NullPool, create_engine, text

from tests.bridge import access_to
from tests.chaos.sender import Orders, Report, run
from tests.chaos.staging import StagingServer
from tests.forked import PROCESSES
from totara_bridge.sandbox.oracle.server import SandboxOracle
from totara_bridge.settings import Settings

#: Seconds after which what should have happened never will.
_PATIENCE = 60.0

#: How many senders are let loose, one after the other, on what is left.
_RUNS = 8

#: So long that what failed is left to later senders.
_WAITS = {"retry_first": timedelta(minutes=30), "retry_longest": timedelta(hours=1)}


class SenderProcess:
    """A sender that was started."""

    def __init__(self, orders: Orders) -> None:
        """Start it."""
        self._reports, child = PROCESSES.Pipe(duplex=False)
        self._process: BaseProcess = PROCESSES.Process(target=run, args=(orders, child))
        self._log = orders.log
        self.killed = False
        self._process.start()
        child.close()

    @property
    def runs(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.is_alive()

    def kill(self) -> bool:
        """End it at once with SIGKILL; whether it had not ended by itself."""
        self._process.kill()
        self._process.join(_PATIENCE)
        self.killed = self._process.exitcode == -signal.SIGKILL
        return self.killed

    def terminate(self) -> None:
        """Ask it to end cleanly."""
        self._process.terminate()

    def report(self) -> Report:
        """How it ended by itself, once it has."""
        assert self._reports.poll(_PATIENCE), f"the sender neither ended nor said why: see {self._log}"
        try:
            report: Report = self._reports.recv()
        except EOFError:
            raise AssertionError(f"the sender ended without a report: see {self._log}") from None
        self._process.join(_PATIENCE)
        assert self._process.exitcode == 0, f"the sender does not end: see {self._log}"
        return report

    def close(self) -> None:
        """End it, if it still runs, and forget it."""
        self.kill()
        self._process.close()
        self._reports.close()


class Scene:
    """A queue of its own in the staging server, an Oracle, and senders."""

    def __init__(self, staging: StagingServer, oracle: SandboxOracle, log: Path) -> None:
        """Senders write what they log into the file."""
        self.staging = staging
        self.oracle = oracle
        self.kills = 0
        self._log = log
        self._url = staging.full_queue()
        self._engine = create_engine(self._url, poolclass=NullPool)
        self._senders: list[SenderProcess] = []
        self._later = timedelta(0)

    def close(self) -> None:
        """End every sender that still runs, and drop the queue."""
        for sender in self._senders:
            sender.close()
        self.oracle.release()
        self.staging.drop(self._url)

    def start(self, *, ahead: timedelta = timedelta(0), timeout: float = 30, **settings: Any) -> SenderProcess:
        """Start a sender, whose clock is that much ahead."""
        sender = SenderProcess(
            Orders(
                database=self._url,
                access=access_to(self.oracle, timeout=timeout),
                settings=Settings(**_WAITS | settings),
                ahead=ahead,
                log=self._log,
            )
        )
        self._senders.append(sender)
        return sender

    def start_later(self, **changes: Any) -> SenderProcess:
        """Start a sender to whom it is so late that every lease and every wait of those before has run out."""
        # no wait between two attempts, asked for by the destination or not, is longer than a day and some hours
        self._later += timedelta(days=2)
        return self.start(ahead=self._later, **changes)

    def kill(self, *senders: SenderProcess) -> None:
        """End them with SIGKILL; they must run until then."""
        for sender in senders:
            assert sender.kill(), "a sender had ended before it could be killed"
            self.kills += 1

    def crash_staging(self) -> None:
        """End PostgreSQL at once."""
        self.staging.crash()
        self.kills += 1

    def drain(self, **changes: Any) -> Report:
        """Start a sender, and let it come to its end."""
        return self.start(**changes).report()

    def finish(self) -> list[Report]:
        """Nothing goes wrong any more, and later senders come, one after the other, until nothing is left to send."""
        assert not any(sender.runs for sender in self._senders), "a sender still runs"
        self.oracle.faults()
        self.oracle.release()
        self.until("no sender is connected", lambda: not self._backends())
        reports: list[Report] = []
        while self.open_items() and len(reports) < _RUNS:
            reports.append(self.start_later().report())
        return reports

    def until(self, what: str, condition: Callable[[], bool]) -> None:
        """Return once it is so."""
        deadline = time.monotonic() + _PATIENCE
        while not condition():
            assert time.monotonic() < deadline, f"it never came to this: {what}; {self.states()}, {self._backends()}"
            time.sleep(0.02)

    def rows(self, statement: str, **values: object) -> Sequence[dict[str, Any]]:
        """What staging says."""
        with self._engine.connect() as connection:
            return [dict(row) for row in connection.execute(text(statement), values).mappings()]

    def states(self) -> dict[str, int]:
        """How many items are in each state."""
        found = self.rows("SELECT state, count(*) AS items FROM bridge.export_queue GROUP BY state")
        return {row["state"]: row["items"] for row in found}

    def open_items(self) -> int:
        """How many are still to be sent."""
        return sum(items for state, items in self.states().items() if state in ("queued", "failed", "sending"))

    def blocked(self, query: str = "") -> int:
        """How many senders' statements that begin so wait for a lock."""
        return sum(each["wait"] == "Lock" and each["query"].startswith(query) for each in self._backends().values())

    @contextmanager
    def settling_blocked(self) -> Iterator[None]:
        """Nobody can write an answer down while the block runs."""
        with self._holding("LOCK TABLE bridge.export_log IN EXCLUSIVE MODE"):
            yield

    @contextmanager
    def commit_blocked(self) -> Iterator[None]:
        """Whoever has written deliveries down cannot commit them while the block runs."""
        with self._engine.begin() as transaction:
            transaction.execute(_WAIT_AT_COMMIT)
        with self._holding("SELECT pg_advisory_xact_lock(1)"):
            yield

    def disconnect(self) -> None:
        """Let PostgreSQL end the senders' connections."""
        for process in self._backends():
            self.rows("SELECT pg_terminate_backend(:process)", process=process)

    @contextmanager
    def _holding(self, lock: LiteralString) -> Iterator[None]:
        """Hold a lock while the block runs, in which PostgreSQL itself may end."""
        holder = psycopg.connect(self._url.replace("postgresql+psycopg://", "postgresql://", 1))
        try:
            holder.execute(lock)
            yield
        finally:
            holder.close()

    def _backends(self) -> dict[int, dict[str, Any]]:
        """The senders' connections, by process id."""
        return {row["pid"]: row for row in self.rows(_BACKENDS)}


_BACKENDS = """
    SELECT pid, state, wait_event_type AS wait, query FROM pg_stat_activity
    WHERE datname = current_database() AND application_name = 'totara-bridge'
"""

_WAIT_AT_COMMIT = text(
    """
    CREATE FUNCTION public.wait_at_commit() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER wait_at_commit AFTER INSERT ON bridge.delivery
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION public.wait_at_commit()
    """
)
