"""`make audit` passes only if all that the locks install here was looked up: what could not be asked about fails it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]


def test_where_nobody_can_be_asked_it_fails_and_says_so() -> None:
    """Whatever is asked goes to a proxy on this machine that is not there."""
    nowhere = "http://127.0.0.1:1"
    proxies = dict.fromkeys(("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"), nowhere)
    free = {name: value for name, value in os.environ.items() if name.lower() != "no_proxy"}
    asked = subprocess.run([ROOT / ".make" / "audit"], env=free | proxies, capture_output=True, text=True, check=False)
    assert asked.returncode == 1
    assert "The locks were not audited: the vulnerability service cannot be reached from here" in asked.stderr
    assert "Traceback" not in asked.stderr


def audit_with(program: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The audit of a checkout whose pip-audit does only that."""
    (folder / ".make").mkdir()
    script = folder / ".make" / "audit"
    script.write_text((ROOT / ".make" / "audit").read_text())
    script.chmod(0o755)
    bin_folder = folder / ".venv" / "bin"
    bin_folder.mkdir(parents=True)
    (bin_folder / "pip-audit").write_text(f"#!{sys.executable}\nimport sys\n{program}\n")
    (bin_folder / "pip-audit").chmod(0o755)
    return subprocess.run([script], capture_output=True, text=True, check=False)


def test_it_passes_if_nothing_is_known(tmp_path: Path) -> None:
    assert audit_with("print('No known vulnerabilities found')", tmp_path).returncode == 0


def test_a_success_that_audited_nothing_is_none(tmp_path: Path) -> None:
    asked = audit_with("print('Name Skip Reason')", tmp_path)
    assert (asked.returncode, "not audited" in asked.stderr) == (1, True)


def test_what_is_known_is_named(tmp_path: Path) -> None:
    asked = audit_with("print('Found 1 known vulnerability in 1 package\\nrequests 1.0'); sys.exit(1)", tmp_path)
    assert asked.returncode == 1
    assert "requests 1.0" in asked.stdout
    assert "raise these packages" in asked.stderr


def locked() -> Iterator[Requirement]:
    """Every line of the locks that names a package."""
    for lock in sorted(ROOT.glob("requirements*.txt")):
        for line in lock.read_text().splitlines():
            if line[:1].isalnum():
                yield Requirement(line.removesuffix("\\"))


def test_what_is_for_windows_or_an_old_python_alone_is_never_looked_up_and_nothing_else() -> None:
    ci = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yaml").read_text())
    # the image of each is its last release, whose number no marker reaches
    audited = [
        {
            "python_version": python, "python_full_version": f"{python}.99", "implementation_name": "cpython",
            "platform_python_implementation": "CPython", "sys_platform": "linux", "os_name": "posix",
        }
        for python in ci["jobs"]["audit"]["strategy"]["matrix"]["python"]
    ]  # fmt: skip
    assert len([*locked()]) > 300
    never = {
        each.name: str(each.marker)
        for each in locked()
        if each.marker and not any(each.marker.evaluate(python) for python in audited)
    }
    assert never == {
        "async-timeout": 'python_full_version < "3.11.3"',
        "colorama": 'sys_platform == "win32"',
        "pywin32": 'sys_platform == "win32"',
        "win-precise-time": 'python_full_version < "3.13" and os_name == "nt"',
    }
