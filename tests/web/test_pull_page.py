"""docs/pull-api.md is true: its lines run, what they print looks as it says, its tables are whole, its client works."""

import ast
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from tests.bridge import Bridge
from tests.web.puller import Puller
from totara_bridge.web import pull
from totara_bridge.web.pull.completions import CompletionsAsked
from totara_bridge.web.pull.directory import CoursesAsked, UsersAsked

PAGE = (Path(__file__).parents[2] / "docs" / "pull-api.md").read_text()
#: Each piece of code: its language, and what it is.
BLOCKS: list[tuple[str, str]] = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
CALLS = [number for number, (language, code) in enumerate(BLOCKS) if language == "sh" and "curl" in code]
[CLIENT] = [code for language, code in BLOCKS if "sqlite3" in code]
[LOOP] = [code for language, code in BLOCKS if language == "python" and code != CLIENT]


@pytest.fixture
def surroundings(bridge: Bridge, address: str, token: str) -> dict[str, str]:
    """The environment of whoever follows the page, over a bridge that has extracted the sandbox Totara."""
    bridge.extract()
    return {**os.environ, "BRIDGE": address, "TOKEN": token, "no_proxy": "*", "NO_PROXY": "*"}


def test_every_line_runs_and_prints_what_the_page_shows(surroundings: dict[str, str], tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("there is no curl on this machine")
    assert len(CALLS) >= 10
    shown = 0
    for number in CALLS:
        done = _run(["sh", "-euc", BLOCKS[number][1]], surroundings, tmp_path)
        assert done.returncode == 0, (BLOCKS[number][1], done.stderr)
        language, sample = BLOCKS[number + 1] if number + 1 < len(BLOCKS) else ("", "")
        if language == "json":
            _require_alike(json.loads(sample), json.loads(done.stdout), BLOCKS[number][1])
            shown += 1
        elif language == "csv":
            assert [line.count(",") for line in sample.splitlines()] == [
                line.count(",") for line in done.stdout.splitlines()
            ]
            assert sample.splitlines()[0] == done.stdout.splitlines()[0]
            shown += 1
    assert shown >= 8
    assert json.loads((tmp_path / "openapi.json").read_text())["openapi"].startswith("3.1")
    assert len((tmp_path / "completions.ndjson").read_text().splitlines()) == 1600
    assert _run([sys.executable, "-c", LOOP], surroundings, tmp_path).returncode == 0


def test_the_client_is_short() -> None:
    assert len(CLIENT.splitlines()) <= 30


def test_the_client_that_is_killed_half_way_misses_nothing(
    bridge: Bridge,
    surroundings: dict[str, str],
    puller: Puller,
    tmp_path: Path,
    wait_until: Callable[[Callable[[], bool]], None],
) -> None:
    with bridge.staging.begin() as blocking:  # it stores its first page, and cannot acknowledge it
        blocking.execute(text("LOCK TABLE bridge.acknowledgement IN EXCLUSIVE MODE"))
        command = [sys.executable, "-c", CLIENT]
        client = subprocess.Popen(command, env=surroundings, cwd=tmp_path)
        wait_until(lambda: client.poll() is not None or len(_copy(tmp_path)) == 1000)
        client.send_signal(signal.SIGKILL)
        assert client.wait() == -signal.SIGKILL
    assert _run(command, surroundings, tmp_path).returncode == 0
    assert _copy(tmp_path) == _there(puller)

    bridge.later(hours=1)
    bridge.totara.complete(*bridge.totara.pair_with(status=25))
    gone = bridge.totara.pair_with(status=50)
    bridge.totara.delete_completion(*gone)
    bridge.extract()
    assert _copy(tmp_path) != _there(puller)
    assert _run(command, surroundings, tmp_path).returncode == 0
    assert _copy(tmp_path) == _there(puller)
    assert _copy(tmp_path)["sbx-{}-{}".format(*gone)]["deleted"]
    assert puller.fetch(since="1970-01-01", acknowledged="false")["items"] == []  # also of what is deleted

    with closing(sqlite3.connect(tmp_path / "completions.db")) as db, db:  # another that runs has newer ones
        db.execute("UPDATE completion SET version = version + 1000000, item = '{}'")
        db.execute("DELETE FROM place")
    assert _run(command, surroundings, tmp_path).returncode == 0
    assert all(item == {"acknowledgement": None} for item in _copy(tmp_path).values())


def test_every_parameter_is_in_the_page_and_no_other() -> None:
    section = PAGE[PAGE.index("## Parameters") : PAGE.index("## Formats")]
    table = {
        name for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    }
    assert table == set(CompletionsAsked.model_fields)
    [(users, courses)] = re.findall(
        r"`/users` takes (.*?), and `/courses` takes (.*?),\s+each with", section, re.DOTALL
    )
    for words, model in ((users, UsersAsked), (courses, CoursesAsked)):
        assert {*re.findall(r"`(\w+)`", words), "limit", "cursor"} == set(model.model_fields)


def test_every_kind_of_problem_is_in_the_page_and_no_other() -> None:
    told = set(re.findall(r"^\| (\d{3}) \| `([a-z-]+)` \|", PAGE, re.MULTILINE))
    assert told == set(_problems())


def test_every_option_of_uvicorn_is_there() -> None:
    asked = set(re.findall(r"--[a-z-]+", PAGE[PAGE.index("## Running it alone") :])) - {"--proxy-headers"}  # Airflow's
    told = _run([sys.executable, "-m", "uvicorn", "--help"], dict(os.environ), Path.cwd()).stdout
    assert len(asked) >= 8
    assert asked <= set(re.findall(r"--[a-z-]+", told))


def _problems() -> Iterator[tuple[str, str]]:
    """The status and the kind of each problem that the code can answer with."""
    room = Path(pull.__file__).parent
    for file in (*sorted(room.glob("*.py")), room.parent / "problem.py", room.parent / "service.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Problem":
                status, kind = (each.value if isinstance(each, ast.Constant) else 404 for each in node.args[:2])
                yield str(status), str(kind)


def _require_alike(sample: Any, real: Any, where: str) -> None:
    """The same keys, and values of the same types; of lists each element as the sample's first."""
    if isinstance(sample, dict) and isinstance(real, dict):
        assert list(sample) == list(real), where
        for name, value in sample.items():
            _require_alike(value, real[name], f"{where}: {name}")
    elif isinstance(sample, list) and isinstance(real, list):
        assert bool(sample) == bool(real), where
        for shown, each in zip(sample, real, strict=True):
            _require_alike(shown, each, where)
    else:
        assert type(sample) is type(real), (where, sample, real)


def _run(command: list[str], environment: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )


def _copy(folder: Path) -> dict[str, Any]:
    """What the client has, without what it said of it itself."""
    file = folder / "completions.db"
    if not file.exists():
        return {}
    db = sqlite3.connect(file)
    try:
        rows = db.execute("SELECT id, item FROM completion").fetchall()
    except sqlite3.OperationalError:  # it makes its tables now
        return {}
    finally:
        db.close()
    return {name: json.loads(item) | {"acknowledgement": None} for name, item in rows}


def _there(puller: Puller) -> dict[str, Any]:
    """What the bridge has, also of what is deleted."""
    page = puller.fetch(since="1970-01-01", limit=5000)
    assert not page["more"]
    return {item["id"]: item | {"acknowledgement": None} for item in page["items"]}
