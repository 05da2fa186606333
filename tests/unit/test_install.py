"""Before there is an environment, whatever is in its way is one sentence that says what to do."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_PYTHON = f"{sys.base_prefix}/bin/python{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What the installation reads, without an environment."""
    (tmp_path / ".make").mkdir()
    for file in (".make/install", "requirements.txt", "requirements-dev.txt", "pyproject.toml"):
        shutil.copy(_ROOT / file, tmp_path / file)
    (tmp_path / "bin").mkdir()
    return tmp_path


def test_no_supported_python(checkout: Path) -> None:
    for name in ("python3.13", "python3.12", "python3.11", "python3"):
        _program(checkout, name, 'case "$1" in --version) echo "Python 3.10.4" ;; *) exit 1 ;; esac')
    assert _install(checkout) == (
        "Totara Bridge needs Python 3.11, 3.12 or 3.13, and here is Python 3.10.4: "
        "install one, or name it: make up PYTHON=/path/to/python3.13\n"
    )
    assert not (checkout / ".venv").exists()


def test_a_python_without_venv(checkout: Path) -> None:
    for name in ("python3.13", "python3.12", "python3.11", "python3"):
        _program(checkout, name, 'case "$1" in --version) echo "Python 3.11.2" ;; *) exit 1 ;; esac')
    assert "install it (on Debian: apt-get install python3-venv)" in _install(checkout)


def test_a_named_python_that_cannot_be_used(checkout: Path) -> None:
    told = _install(checkout, PYTHON="/nowhere/python3.11")
    assert told.startswith("PYTHON=/nowhere/python3.11 cannot be used (no /nowhere/python3.11): name a Python 3.11")


def test_a_disk_too_small(checkout: Path) -> None:
    _program(checkout, "df", "echo; echo /dev/disk 9000 8900 100 99% /")
    told = _install(checkout, PYTHON=_PYTHON)
    assert told.startswith("The disk has 100 MB left, and Totara Bridge needs 1500 MB")
    assert not (checkout / ".venv").exists()


def test_no_network(checkout: Path) -> None:
    nobody = "http://127.0.0.1:9/simple"
    told = _install(
        checkout,
        PYTHON=_PYTHON,
        PIP_CONFIG_FILE=os.devnull,
        PIP_INDEX_URL=nobody,
        PIP_FIND_LINKS="",
        PIP_EXTRA_INDEX_URL="",
        PIP_NO_CACHE_DIR="1",
        UV_DEFAULT_INDEX=nobody,
        UV_CACHE_DIR=str(checkout / "cache"),
    )
    assert told.startswith("The packages cannot be downloaded: check the network")
    assert told.count("\n") == 1
    assert not (checkout / ".venv" / "product.stamp").exists()


def _program(checkout: Path, name: str, script: str) -> None:
    file = checkout / "bin" / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


def _install(checkout: Path, **environment: str) -> str:
    """What a failing installation says as its error."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHON"}
    path = f"{checkout / 'bin'}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [checkout / ".make" / "install", "product"],
        env={**kept, **environment, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stderr
