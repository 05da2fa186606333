"""What an upgrade is not to disturb: a Totara in which something happens all the time, an Oracle, and who pulls."""

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text

from tests.bridge import Bridge
from tests.reconciled import differences, numbers, reconcile
from tests.staging_roles import PULL, TASKS, address_as, close, make_roles
from tests.upgrade.version import Version, Worker
from tests.upgrade.worker import WANTS
from tests.web.puller import Puller
from tests.web.seen import State, Step, disorder, missed, seen
from tests.web.totara_life import ACTS
from totara_bridge.sandbox.oracle.server import SandboxOracle

#: What an extract sees at once, without comparing everything.
_HAPPENS = ("enrol", "start", "recognise", "edit", "regress", "delete", "recertify", "rename")

_TRUTH = "SELECT site || '-' || user_id || '-' || course_id, change_seq, deleted_at IS NOT NULL FROM bridge.completion"


class Scene:
    """Everything around the staging database."""

    def __init__(self, database: str, staging: Engine, totara: Engine, oracle: SandboxOracle, logs: Path) -> None:
        """Nothing has happened.

        :param database: its address for the owner, who migrates it.
        :param staging: on that database.
        """
        make_roles(database)  # a migration grants to those that there are
        self.database = database
        self.bridge = Bridge(staging, totara)
        self.oracle = oracle
        self.logs = logs
        self.steps: list[Step] = []
        self.acknowledged = 0
        self._rounds = 0
        self._dice = random.Random()
        self._pullers: list[Puller] = []
        self._token = ""
        self._cursor: str | None = None

    def worker(self, version: Version, *, begins: bool = False) -> Worker:
        """That version, between this Totara and this Oracle.

        :param begins: it sends the past, too, and gives the other system its token.
        """
        oracle = {name: getattr(self.oracle, name) for name in ("client_id", "client_secret", "url", "token_url")}
        totara = self.bridge.totara.engine.url.render_as_string(hide_password=False)
        orders: dict[str, Any] = {"totara": totara, "oracle": oracle, "begins": begins}
        return Worker(version, self._address(version, TASKS), orders, self.logs / f"worker-{version.revision}.log")

    @contextmanager
    def pull_server(self, version: Version) -> Iterator[str]:
        """The Pull API of that version; its address."""
        server = version.serve_pull(self._address(version, PULL), self.logs / f"pull-{version.revision}.log")
        try:
            server.wait()
            yield server.address
        finally:
            server.stop()

    def _address(self, version: Version, role: str) -> str:
        """Of the database for a process that is this role in production; code of 0006 knows none, and is the owner."""
        knows_roles = (version.folder / "include/totara_bridge/staging/grants.py").exists()
        return address_as(self.bridge.staging, role) if knows_roles else self.database

    def pull_by(self, *addresses: str) -> None:
        """Pull there from now on; of several, now from one and now from another."""
        for each in self._pullers:
            each.session.close()
        self._pullers = [Puller(address, self._token) for address in addresses]

    def round(self, *workers: Worker) -> dict[str, int]:
        """All of them work at the same time, while something happens around them; what they did together."""
        # what a round throws does not depend on how often those before it threw
        self._dice.seed(f"8/{self._rounds}")
        self._rounds += 1
        for each in workers:
            each.begin_round()
        for what in ("complete", *self._dice.sample(_HAPPENS, 3)):
            with suppress(LookupError):  # nobody is left to whom it could happen
                ACTS[what](self.bridge.totara, self._dice)
        if self._pullers:
            self._pull()
        done: Counter[str] = Counter()
        for each in workers:
            said = each.end_round()
            self._token = said.pop("token", self._token)
            done.update(said)
        return done

    def _pull(self) -> None:
        """Take a page of what is new, and acknowledge it."""
        puller = self._dice.choice(self._pullers)
        page = puller.fetch(limit=500, **({"cursor": self._cursor} if self._cursor else {"since": "1970-01-01"}))
        self._cursor = page["cursor"]
        self.steps.append(Step([*map(seen, page["items"])], self._cursor))
        if page["items"]:
            said = [{"id": each["id"], "version": each["version"], "status": "processed"} for each in page["items"]]
            answer = puller.post("/acknowledgements", said)
            assert answer.status_code == 200, answer.text
            self.acknowledged += answer.json()["recorded"]

    def finish(self) -> None:
        """Nothing happens any more: this version extracts, pushes and pulls what is left."""
        bridge = self.bridge
        bridge.plan = replace(bridge.plan, destinations=[WANTS])
        bridge.later(days=1)
        bridge.full_compare()
        bridge.push(self.oracle)
        self._pull()
        while self.steps[-1].seen:
            self._pull()

    def close(self) -> None:
        """Pull no more."""
        self.pull_by()
        close(self.bridge.staging)

    def wrong(self) -> Iterator[str]:
        """What was lost, sent twice, or sent otherwise than it is: sentences."""
        bridge, oracle = self.bridge, self.oracle
        if (found := numbers(reconcile(bridge))) != (0, 0, 0, 0):
            yield f"missing, extra, different and pending are {found}: {differences(bridge)}"
        if strange := bridge.states().keys() - {"sent", "cancelled"}:
            yield f"items are still {strange}"
        sent = {row["key"] for row in bridge.rows(_SENT)}
        times, received = oracle.times_received(), oracle.received()
        if sent != set(oracle.stored_keys()):
            yield f"Oracle has {received['keys_stored']}, and {len(sent)} were sent"
        if again := {key: n for key, n in times.items() if n != 1}:
            yield f"these came more than once: {again}"
        if received["conflicts"] or received["duplicates"]:
            yield f"{received}"
        [ledger] = bridge.rows("SELECT count(*) AS n FROM bridge.delivery")
        if ledger["n"] != len(sent):
            yield f"the ledger has {ledger['n']} deliveries of {len(sent)}"
        yield from disorder(self.steps)
        yield from missed(self.steps, self._truth())

    def _truth(self) -> dict[str, State]:
        with self.bridge.staging.connect() as connection:
            return {row[0]: State(row[1], row[2]) for row in connection.execute(text(_TRUTH))}


_SENT = "SELECT idempotency_key AS key FROM bridge.export_queue WHERE state = 'sent'"
