"""``make secrets``: every secret in .env is new and of its kind, only its owner can read it, nothing is overwritten."""

import base64
import re
import shutil
import subprocess
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]

_OF_KIND = {
    "password": re.compile(r"[A-Za-z0-9]{32}"),
    "fernet": re.compile(r"[A-Za-z0-9_-]{43}="),
    "hex64": re.compile(r"[0-9a-f]{128}"),
}

_EXAMPLE = """\
# What this is.

# Where tasks run.
EXECUTOR=LocalExecutor

# Two ports.
FIRST_PORT=8080
SECOND_PORT=8090

# Of the first login.
# secret: password
ADMIN_PASSWORD=

# secret: fernet
KEY=

# secret: hex64
SIGNATURE=
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What ``make secrets`` reads."""
    (tmp_path / ".make").mkdir()
    shutil.copy(_ROOT / ".make" / "secrets", tmp_path / ".make" / "secrets")
    (tmp_path / ".env.example").write_text(_EXAMPLE)
    (tmp_path / "production").mkdir()
    for read_by_containers in ("bridge.toml", "production/databases.sh"):
        (tmp_path / read_by_containers).touch(mode=0o600)
    return tmp_path


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_each_secret_is_of_its_kind_and_all_else_is_as_in_the_example(checkout: Path, shell: str) -> None:
    told = _secrets(checkout, shell)
    written = (checkout / ".env").read_text()
    values = _values(written)
    assert _OF_KIND["password"].fullmatch(values["ADMIN_PASSWORD"])
    assert len(base64.urlsafe_b64decode(values["KEY"])) == 32
    assert _OF_KIND["hex64"].fullmatch(values["SIGNATURE"])
    for name in ("ADMIN_PASSWORD", "KEY", "SIGNATURE"):
        assert name in told
        assert values[name] not in told
        written = written.replace(values[name], "")
    assert written == _EXAMPLE


def test_the_example_of_the_project_marks_every_secret(checkout: Path) -> None:
    shutil.copy(_ROOT / ".env.example", checkout)
    _secrets(checkout)
    values = _values((checkout / ".env").read_text())
    kinds = re.findall(r"^# secret: (\w+)\n(\w+)=(.*)", (checkout / ".env.example").read_text(), re.MULTILINE)
    assert kinds
    for kind, name, value in kinds:
        assert value == "", name
        assert _OF_KIND[kind].fullmatch(values[name]), name
    named_so = {name for name in values if re.search("PASSWORD|SECRET|KEY|TOKEN", name)}
    assert named_so == {name for _, name, _ in kinds}
    assert len({values[name] for name in named_so}) == len(named_so)


def test_two_installations_have_nothing_in_common(checkout: Path) -> None:
    def made() -> set[str]:
        (checkout / ".env").unlink(missing_ok=True)
        _secrets(checkout)
        values = _values((checkout / ".env").read_text())
        return {values[name] for name in ("ADMIN_PASSWORD", "KEY", "SIGNATURE")}

    assert not made() & made()


def test_nobody_else_can_read_it(checkout: Path) -> None:
    _secrets(checkout)
    assert (checkout / ".env").stat().st_mode & 0o777 == 0o600
    (checkout / ".env").chmod(0o644)
    _secrets(checkout)
    assert (checkout / ".env").stat().st_mode & 0o777 == 0o600


def test_no_other_file_is_left(checkout: Path) -> None:
    _secrets(checkout)
    assert {each.name for each in checkout.iterdir()} == {".env", ".env.example", ".make", "bridge.toml", "production"}


def test_containers_can_read_what_they_are_given(checkout: Path) -> None:
    _secrets(checkout)
    assert (checkout / "bridge.toml").stat().st_mode & 0o044 == 0o044
    assert (checkout / "production" / "databases.sh").stat().st_mode & 0o055 == 0o055


def test_a_second_time_changes_nothing(checkout: Path) -> None:
    _secrets(checkout)
    before = (checkout / ".env").read_bytes()
    assert _secrets(checkout) == ".env has all that .env.example has: nothing changed.\n"
    assert (checkout / ".env").read_bytes() == before


def test_what_a_newer_example_has_is_added_and_the_rest_stays_byte_by_byte(checkout: Path) -> None:
    mine = (
        b"ADMIN_PASSWORD='mine = \\ \xff'\r\n  export FIRST_PORT = 1\n# KEY=none\nMY_OWN=x"  # without a last line break
    )
    (checkout / ".env").write_bytes(mine)
    told = _secrets(checkout)
    after = (checkout / ".env").read_bytes()
    assert told == "Added to .env, which lacked them: KEY SIGNATURE EXECUTOR SECOND_PORT.\n"
    added = after.removeprefix(mine + b"\n").decode()
    values = _values(added)
    assert set(values) == {"KEY", "SIGNATURE", "EXECUTOR", "SECOND_PORT"}
    assert _OF_KIND["fernet"].fullmatch(values["KEY"])
    assert "\n\n# Where tasks run.\nEXECUTOR=LocalExecutor\n\n# Two ports.\nSECOND_PORT=8090\n" in "\n" + added
    assert values["KEY"] not in told


def test_an_empty_secret_is_not_taken_for_one(checkout: Path) -> None:
    (checkout / ".env").write_text(_EXAMPLE)
    told = _secrets(checkout, code=1)
    assert told.endswith(
        "These secrets are empty in .env: ADMIN_PASSWORD KEY SIGNATURE. "
        "Remove their lines, then run make secrets again.\n"
    )
    assert (checkout / ".env").read_text() == _EXAMPLE


def test_a_kind_that_there_is_not(checkout: Path) -> None:
    (checkout / ".env.example").write_text("# secret: rot13\nCODE=\n")
    told = _secrets(checkout, code=1)
    assert told.startswith('.env.example marks CODE as a secret of the kind "rot13"')
    assert not (checkout / ".env").exists()


def test_no_example(checkout: Path) -> None:
    (checkout / ".env.example").unlink()
    assert _secrets(checkout, code=1).startswith(f"There is no .env.example in {checkout}")


def test_a_folder_in_its_place(checkout: Path) -> None:
    (checkout / ".env").mkdir()
    assert _secrets(checkout, code=1).startswith(f".env in {checkout} is no file")


def test_a_program_that_is_missing(checkout: Path) -> None:
    programs = checkout / "bin"
    programs.mkdir()
    for name in ("dirname", "grep", "head", "tr", "cut", "tail", "chmod"):
        (programs / name).symlink_to(str(shutil.which(name)))
    told = _secrets(checkout, str(shutil.which("sh")), code=1, path=str(programs))
    assert "No secret can be made for KEY: head, tr, cut, od and base64 must be installed" in told
    assert not (checkout / ".env").exists()


def test_git_ignores_it() -> None:
    assert ".env" in (_ROOT / ".gitignore").read_text().splitlines()


def _secrets(checkout: Path, shell: str = "sh", *, code: int = 0, path: str | None = None) -> str:
    """Everything that it says."""
    done = subprocess.run(
        [shell, ".make/secrets"],
        cwd=checkout,
        env=None if path is None else {"PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stdout
    return done.stdout


def _values(text: str) -> dict[str, str]:
    """By name."""
    return dict(line.split("=", 1) for line in text.splitlines() if line and not line.startswith("#"))
