"""What a local run starts is found and ended again, whoever died in between; what is not ours is left alone."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator

import psutil
import pytest

from tests.ended import ended
from totara_bridge.local import processes
from totara_bridge.local.home import Home, LocalRunFailed, make_home

Wait = Callable[[Callable[[], bool]], None]

_SLEEPS = "import time; time.sleep(600)"
_HAS_A_CHILD = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {_SLEEPS!r}]).wait()"
_CHILD_LEAVES_THE_SESSION = (
    "import subprocess, sys; subprocess.Popen([sys.executable, '-c', "
    f"{_SLEEPS!r}], start_new_session=True, cwd='/').wait()"
)


@pytest.fixture
def home(short_folder: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """A data folder whose processes are gone when the test ends."""
    monkeypatch.setenv("TOTARA_BRIDGE_HOME", short_folder)
    made = make_home()
    yield made
    processes.stop(made)


@pytest.fixture
def start(home: Home) -> Iterator[Callable[[str, str], subprocess.Popen[bytes]]]:
    """Start a Python program under a name."""
    started = []

    def run(name: str, code: str) -> subprocess.Popen[bytes]:
        started.append(processes.start(home, name, (sys.executable, "-c", code), dict(os.environ)))
        return started[-1]

    yield run
    processes.stop(home)
    for process in started:
        process.wait()


def test_stop_ends_what_was_started_with_its_children(
    home: Home, start: Callable[[str, str], subprocess.Popen[bytes]], wait_until: Wait
) -> None:
    leader = psutil.Process(start("one", _HAS_A_CHILD).pid)
    wait_until(lambda: bool(leader.children()))
    child = leader.children()[0]
    assert processes.alive(home, "one")
    assert processes.stop(home) == 2
    assert not processes.alive(home, "one")
    assert ended(child)
    assert processes.stop(home) == 0


def test_children_are_found_after_their_parent_was_killed(
    home: Home, start: Callable[[str, str], subprocess.Popen[bytes]], wait_until: Wait
) -> None:
    process = start("one", _HAS_A_CHILD)
    leader = psutil.Process(process.pid)
    wait_until(lambda: bool(leader.children()))
    child = leader.children()[0]
    process.kill()
    process.wait()
    assert not processes.alive(home, "one")
    processes.stop(home)
    assert ended(child)


def test_a_child_that_left_the_session_is_found_by_its_environment(
    home: Home, start: Callable[[str, str], subprocess.Popen[bytes]], wait_until: Wait
) -> None:
    leader = psutil.Process(start("one", _CHILD_LEAVES_THE_SESSION).pid)
    wait_until(lambda: bool(leader.children()) and _SLEEPS in leader.children()[0].cmdline())
    child = leader.children()[0]
    assert os.getsid(child.pid) != leader.pid
    processes.stop(home)
    assert ended(child)


def test_what_runs_is_found_after_its_data_folder_was_deleted(
    home: Home, start: Callable[[str, str], subprocess.Popen[bytes]]
) -> None:
    leader = psutil.Process(start("one", f"import sys; {_SLEEPS}").pid)
    shutil.rmtree(home.root)
    assert processes.stop(home) == 1
    assert ended(leader)


def test_a_process_that_has_the_id_of_one_of_ours_now_is_left_alone(home: Home) -> None:
    with subprocess.Popen([sys.executable, "-c", _SLEEPS], start_new_session=True) as another:
        (home.processes / "one.pid").write_text(f"{another.pid}\n")
        assert not processes.alive(home, "one")
        assert processes.stop(home) == 0
        assert another.poll() is None
        another.kill()


def test_a_process_that_does_not_listen_is_killed(
    home: Home,
    start: Callable[[str, str], subprocess.Popen[bytes]],
    wait_until: Wait,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(processes, "_PATIENCE", 0.5)
    deaf = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); {_SLEEPS}"
    leader = psutil.Process(start("one", deaf).pid)
    wait_until(lambda: "deaf" in (home.logs / "one.log").read_text())
    assert processes.stop(home) == 1
    assert not processes.alive(home, "one")
    assert ended(leader)


def test_a_failed_program_is_quoted(home: Home, start: Callable[[str, str], subprocess.Popen[bytes]]) -> None:
    process = start("migrate", "raise SystemExit('there is no database')")
    with pytest.raises(LocalRunFailed, match=r"migrate failed: there is no database \(more in .*migrate\.log\)"):
        processes.finish(home, "migrate", process)
