"""The processes that a local run started: each in a session of its own, each found again after any crash.

A process writes its own id before it becomes the program, so none ever runs unrecorded; whatever it starts
stays in its session, however it names itself.
"""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import psutil

from totara_bridge.local.home import Home, LocalRunFailed

#: In the environment of each of our processes: the data folder of its run.
MARKER = "TOTARA_BRIDGE_RUN"

_RECORD_THEN_BECOME = 'echo $$ > "$1" && shift && exec "$@"'
_PATIENCE = 25.0  # seconds for Airflow to end by itself


def start(home: Home, name: str, command: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a program that goes on when ours ends; what it says goes to its log."""
    stop(home, [name])  # what an earlier one left behind when it was killed
    record = _record(home, name)
    with (home.logs / f"{name}.log").open("ab") as log:
        process = subprocess.Popen(
            ["/bin/sh", "-c", _RECORD_THEN_BECOME, name, str(record), *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=home.processes,
            env={**environment, MARKER: str(home.root)},
            start_new_session=True,
        )
    while _leader(home, record) is None and process.poll() is None:  # until it has recorded itself
        time.sleep(0.01)
    return process


def finish(home: Home, name: str, process: subprocess.Popen[bytes]) -> None:
    """Wait for the end of a program that was started.

    :raises LocalRunFailed: it ended badly.
    """
    if process.wait() != 0:
        raise LocalRunFailed(f"{name} failed: {last_words(home, name)}")
    _record(home, name).unlink(missing_ok=True)


def alive(home: Home, name: str) -> bool:
    """Whether the program that was started under this name still runs."""
    leader = _leader(home, _record(home, name))
    return leader is not None and _runs(leader)


def started_at(home: Home, name: str) -> float:
    """When it was started, in Unix seconds; 0: it does not run."""
    leader = _leader(home, _record(home, name))
    return float(leader.create_time()) if leader is not None else 0.0


def stop(home: Home, names: Iterable[str] | None = None) -> int:
    """End these, or all that run, with all that they started; how many processes that were."""
    wanted = [_record(home, name) for name in names] if names else list(home.processes.glob("*.pid"))
    running = [process for record in wanted for process in _of_session(home, record)]
    if not names:
        running += _strays(home, besides=running)
    _tell(running, psutil.Process.terminate)
    _tell(_wait(running), psutil.Process.kill)
    _wait(running)
    for record in wanted:
        record.unlink(missing_ok=True)
    return len(running)


def last_words(home: Home, name: str) -> str:
    """The last line of its log, and where the rest is."""
    log = home.logs / f"{name}.log"
    lines = log.read_text(errors="replace").strip().splitlines() if log.is_file() else []
    return f"{lines[-1].strip() if lines else 'it said nothing'} (more in {log})."


def program(name: str) -> str:
    """A program of the environment that this one runs in."""
    return str(Path(sys.executable).with_name(name))


def _record(home: Home, name: str) -> Path:
    return home.processes / f"{name}.pid"


def _leader(home: Home, record: Path) -> psutil.Process | None:
    """The process of a record, unless its id belongs to another by now."""
    if not record.is_file() or not (text := record.read_text().strip()):
        return None
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        process = psutil.Process(int(text))
        return process if _is_at_home(home, process) else None
    return None


def _is_at_home(home: Home, process: psutil.Process) -> bool:
    """Whether it works where only our processes do; no process renames that away, as some do their environment."""
    place = str(home.processes)
    return process.cwd() in (place, f"{place} (deleted)", f"{home.postgres} (deleted)")


def _of_session(home: Home, record: Path) -> list[psutil.Process]:
    """Everything that the process of a record started, also when it is gone itself."""
    leader = _leader(home, record)
    session = int(record.read_text().strip() or 0) if record.is_file() else 0
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):  # ended meanwhile, or not ours to look at
            if session and os.getsid(process.pid) == session and (leader or _is_at_home(home, process)):
                found.append(process)
    return found


def _strays(home: Home, *, besides: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Our processes that left their session, or whose record was deleted."""
    known = {process.pid for process in besides} | {os.getpid()}
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):  # ended meanwhile; not ours to look at
            if process.pid not in known and (
                _is_at_home(home, process) or process.environ().get(MARKER) == str(home.root)
            ):
                found.append(process)
    return found


def _tell(processes: Iterable[psutil.Process], order: Callable[[psutil.Process], None]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            order(process)


def _wait(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Those that still run when our patience is over."""
    deadline = time.monotonic() + _PATIENCE
    while (left := [process for process in processes if _runs(process)]) and time.monotonic() < deadline:
        psutil.wait_procs(left, timeout=0.2)
    return left


def _runs(process: psutil.Process) -> bool:
    """Whether it is there and no zombie, of which a container without an init keeps some for ever."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
