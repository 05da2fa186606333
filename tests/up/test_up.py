"""`make up` as a person has it: real Airflow, real PostgreSQL, both sandboxes, from nothing to delivered and back.

What must come out is counted in the sandbox Totara's own tables and at the sandbox Oracle's own address; nothing
of the bridge is asked what it did.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
import requests

from tests.free_port import free_ports
from tests.short_lived import new_folder
from tests.web.puller import Puller
from totara_bridge.local.airflow_api import AirflowApi
from totara_bridge.local.delivery import EXTRACT, run_to_end
from totara_bridge.local.home import LocalRunFailed

_COMPLETED = """
    SELECT c.userid, c.course, c.timecompleted FROM ttr_course_completions c JOIN ttr_user u ON u.id = c.userid
    WHERE c.status IN (50, 75) AND u.deleted = %(deleted)s
    UNION ALL
    SELECT h.userid, h.courseid, h.timecompleted FROM ttr_course_completion_history h JOIN ttr_user u ON u.id = h.userid
    WHERE u.deleted = %(deleted)s
"""
_STAGED = """
    SELECT (SELECT count(*) FROM bridge.completion), (SELECT max(change_seq) FROM bridge.completion),
           (SELECT count(*) FROM bridge.completion_instance), (SELECT sum(revision) FROM bridge.completion_instance),
           (SELECT count(*) FROM bridge.export_queue), (SELECT count(*) FROM bridge.delivery)
"""


@dataclass
class Up:
    """A local run, and how to ask and tell it."""

    home: Path
    airflow_port: int
    oracle_port: int
    totara_port: int

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """The program behind ``make up``, ``down``, ``reset`` and ``ask``."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TOTARA_BRIDGE_")}
        return subprocess.run(
            [sys.executable, "-m", "totara_bridge.local", *words],
            env={
                **environment,
                "TOTARA_BRIDGE_HOME": str(self.home),
                "TOTARA_BRIDGE_AIRFLOW_PORT": str(self.airflow_port),
                "TOTARA_BRIDGE_ORACLE_PORT": str(self.oracle_port),
                "TOTARA_BRIDGE_TOTARA_PORT": str(self.totara_port),
            },
            capture_output=True,
            text=True,
            check=False,
        )

    def rows(self, database: str, statement: str, **values: Any) -> list[tuple[Any, ...]]:
        """What a database of the run holds."""
        address = f"postgresql://postgres@/{database}?host={self.home}/postgres"
        with psycopg.connect(address) as connection:
            return connection.execute(statement, values).fetchall()

    def oracle(self, path: str, **parameters: Any) -> Any:
        """What the sandbox Oracle says."""
        address = f"http://127.0.0.1:{self.oracle_port}/sandbox/{path}"
        with _session() as session:
            return session.get(address, params=parameters, timeout=60).json()

    def run_dag(self, dag: str, **conf: Any) -> None:
        """Run a DAG to its end through Airflow's REST API, as anybody with the printed login can."""
        address = f"http://127.0.0.1:{self.airflow_port}"
        with _session() as session:
            login = {"username": "admin", "password": "admin"}
            token = session.post(f"{address}/auth/token", json=login, timeout=60).json()["access_token"]
            session.headers["Authorization"] = f"Bearer {token}"
            runs = f"{address}/api/v2/dags/{dag}/dagRuns"
            begun = session.post(runs, json={"logical_date": None, "conf": conf}, timeout=60)
            assert begun.ok, begun.text
            run = begun.json()
            while run["state"] in ("queued", "running"):
                time.sleep(0.5)  # Airflow has no event to wait for
                run = session.get(f"{runs}/{run['dag_run_id']}", timeout=60).json()
            assert run["state"] == "success", run

    def recorded(self) -> dict[str, str]:
        """The ids of its services."""
        return {file.name: file.read_text() for file in (self.home / "processes").iterdir()}

    def processes(self) -> list[psutil.Process]:
        """Every process that has to do with the run's folder."""
        found = []
        for process in psutil.process_iter():
            try:
                told = [*process.cmdline(), process.cwd(), *process.environ().values()]
            except (psutil.Error, OSError):
                continue
            if process.pid != os.getpid() and any(str(self.home) in text for text in told):
                found.append(process)
        return found


@pytest.fixture(scope="module")
def first() -> Iterator[tuple[Up, str]]:
    """A local run from nothing, and what it printed."""
    home = new_folder("tbe")
    up = Up(home, *free_ports(3))
    began = up.command("up")
    assert began.returncode == 0, began.stdout + began.stderr
    yield up, began.stdout
    up.command("reset")
    shutil.rmtree(home, ignore_errors=True)


@pytest.mark.timeout(600)
def test_everything_completed_arrives_at_oracle_once(first: tuple[Up, str]) -> None:
    up, printed = first
    expected = _completed(up, deleted=0)
    withheld = _completed(up, deleted=1)
    assert len(expected) > 900
    assert len(withheld) > 0

    received = up.oracle("received", keys="true")
    assert received["keys_stored"] == len(set(received["stored"])) == len(expected)
    assert set(received["times"].values()) == {1}
    items = [item["payload"] for item in up.oracle("received/items", limit=100_000)]
    told = [(item["userId"], item["courseId"], item["timecompleted"]) for item in items]
    assert Counter(told) == Counter(expected)

    completions = up.rows("totara_sandbox", "SELECT count(*) FROM ttr_course_completions")[0][0]
    archived = up.rows("totara_sandbox", "SELECT count(*) FROM ttr_course_completion_history")[0][0]
    assert _printed(printed, "extracted") == completions
    assert _printed(printed, "baseline") == _printed(printed, "instances") == len(expected) + len(withheld)
    assert f"{archived} archived" in printed
    assert _printed(printed, "queued") == _printed(printed, "sent") == _printed(printed, "received") == len(expected)
    assert f"{len(withheld)}  the learner was already deleted in Totara" in printed
    assert f"http://127.0.0.1:{up.airflow_port}" in printed
    assert "admin / admin" in printed


def test_what_it_prints_of_the_pull_api_is_so(first: tuple[Up, str]) -> None:
    up, printed = first
    address = re.search(r"^  Pull API +(http\S+)$", printed, re.MULTILINE)
    how = re.search(r"^  token +make ask WHAT=\"(.*)\"$", printed, re.MULTILINE)
    assert address is not None
    assert how is not None
    issued = up.command("ask", *how[1].split())
    assert issued.returncode == 0, issued.stderr
    [token] = re.findall(r"^tbk_\w+$", issued.stdout, re.MULTILINE)
    with Puller(address[1], token) as puller:
        answer = puller.get("/completions", accept="application/x-ndjson", since="1970-01-01")
    completions = up.rows("totara_sandbox", "SELECT count(*) FROM ttr_course_completions")[0][0]
    assert len(answer.text.splitlines()) == completions


@pytest.mark.timeout(300)
def test_nothing_new_changes_nothing_and_sends_nothing(first: tuple[Up, str]) -> None:
    up, _ = first
    staged, received = up.rows("bridge", _STAGED), up.oracle("received", keys="true")
    up.run_dag("extract_completions", full_compare=True)
    up.run_dag("extract_completions")
    up.run_dag("backfill_completions", from_date="1970-01-01", dry_run=False)
    up.run_dag("push_completions")
    assert up.rows("bridge", _STAGED) == staged
    again = up.oracle("received", keys="true")
    assert again["stored"] == received["stored"]
    assert again["times"] == received["times"]
    assert again["conflicts"] == 0


def test_a_run_that_fails_is_told_in_the_words_of_its_task(first: tuple[Up, str]) -> None:
    up, _ = first
    told: list[str] = []
    with (
        AirflowApi(f"http://127.0.0.1:{up.airflow_port}", login="admin", password="admin") as api,
        pytest.raises(LocalRunFailed, match=r"^extract_completions failed in extract_sbx: Deletions are confirmed for"),
    ):
        run_to_end(api, EXTRACT, {"confirm_deletions": True}, told.append)
    assert told == []


def test_up_again_says_that_it_is_up(first: tuple[Up, str]) -> None:
    up, printed = first
    before = up.recorded()
    again = up.command("up")
    assert again.returncode == 0, again.stderr
    assert "already up" in again.stdout
    assert _table(again.stdout) == _table(printed)
    assert up.recorded() == before


@pytest.mark.timeout(600)
def test_down_ends_every_process_and_up_goes_on(first: tuple[Up, str]) -> None:
    up, printed = first
    keys = up.oracle("received", keys="true")["stored"]
    assert up.processes()
    ended = up.command("down")
    assert ended.returncode == 0, ended.stderr
    assert up.processes() == []
    assert "Nothing was up" in up.command("down").stdout
    on = up.command("up")
    assert on.returncode == 0, on.stdout + on.stderr
    assert _table(on.stdout) == _table(printed)
    assert up.oracle("received", keys="true")["stored"] == keys
    reset = up.command("reset")
    assert reset.returncode == 0, reset.stderr
    assert up.processes() == []
    assert not up.home.exists()


def _completed(up: Up, *, deleted: int) -> list[tuple[int, int, str]]:
    """Who completed what and when, by Totara's own tables: learner, course, time as Oracle is told it."""
    return [
        (user, course, datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
        for user, course, time in up.rows("totara_sandbox", _COMPLETED, deleted=deleted)
    ]


def _table(printed: str) -> list[str]:
    return re.findall(r"^  (?:\w+ ?\w+) +[\d ]+\d  .*$", printed, re.MULTILINE)


def _printed(printed: str, name: str) -> int:
    found = re.search(rf"^  {name} +([\d ]*\d)  ", printed, re.MULTILINE)
    assert found is not None, printed
    return int(found[1].replace(" ", ""))


def _session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    return session
