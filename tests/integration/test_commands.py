"""The commands of a maintainer's shell: what they print, and that each failure is one sentence."""

from collections.abc import Callable

import pytest

from tests.bridge import DESTINATION, Bridge
from totara_bridge.command.__main__ import main
from totara_bridge.extract.enqueue import Wants
from totara_bridge.extract.unhold import unhold
from totara_bridge.sandbox.oracle.server import SandboxOracle
from totara_bridge.settings import Settings
from totara_bridge.staging import setting

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(bridge: Bridge, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command against the bridge's staging: its exit code, and what it printed."""
    address = bridge.staging.url.set(drivername="postgresql").render_as_string(hide_password=False)
    monkeypatch.setenv("TOTARA_BRIDGE_DATABASE_URL", address)

    def command(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(arguments)
        said = capsys.readouterr()
        return code, said.out, said.err

    return command


def test_settings_are_shown_and_set(run: Run, bridge: Bridge) -> None:
    code, out, _ = run("setting")
    assert code == 0
    assert dict(line.split(" = ") for line in out.splitlines()).keys() == Settings.model_fields.keys()
    assert run("setting", "--destination", DESTINATION, "shadow", "true") == (0, "shadow = true\n", "")
    assert run("setting", "--destination", DESTINATION, "keep_bodies", "always")[1] == 'keep_bodies = "always"\n'
    with bridge.staging.connect() as transaction:
        assert setting.read(transaction, DESTINATION) == Settings(shadow=True, keep_bodies="always")
        assert setting.read(transaction) == Settings()
    assert run("setting", "shadow") == (0, "shadow = false\n", "")
    assert run("setting", "--destination", DESTINATION, "shadow", "null") == (0, "shadow = false\n", "")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("setting", "batch_size", "0"), "The setting batch_size of bridge is not valid"),
        (("setting", "--destination", "nobody"), "There is no destination nobody in bridge.toml"),
        (("bodies", "--destination", "nobody"), "There is no destination nobody in bridge.toml"),
    ],
)
def test_what_cannot_be_is_one_sentence(run: Run, arguments: tuple[str, ...], sentence: str) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith(sentence)
    assert err.count("\n") == 1


def test_a_database_that_is_away_is_one_sentence(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOTARA_BRIDGE_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    code, _, err = run("setting")
    assert code == 2
    assert "cannot be reached" in err
    assert err.count("\n") == 1


def test_bodies_of_shadow_mode_are_shown_newest_first(run: Run, bridge: Bridge, oracle: SandboxOracle) -> None:
    bridge.extract()
    for _ in range(2):
        bridge.totara.complete(*bridge.totara.pair_with(status=25))
    bridge.extract()
    code, out, _ = run("bodies", "--destination", DESTINATION)
    assert (code, out.count("\n")) == (1, 1)
    bridge.push(oracle, settings=Settings(shadow=True, batch_size=1))
    code, out, _ = run("bodies", "--destination", DESTINATION, "--limit", "1")
    assert code == 0
    assert "shadow, not sent" in out
    assert out.count('"recordKey"') == 1
    assert "[redacted]" in out
    assert oracle.received()["requests"] == 0
    bridge.push(oracle, settings=Settings(keep_bodies="always"))
    _, out, _ = run("bodies", "--destination", DESTINATION)
    assert [line.split(": ")[1] for line in out.splitlines() if line.startswith("request ")] == [
        "sent, HTTP 200",
        "shadow, not sent",
        "shadow, not sent",
    ]
    assert "answer: " in out


def test_items_are_requeued_by_number_and_say_by_whom(run: Run, bridge: Bridge, oracle: SandboxOracle) -> None:
    bridge.extract()
    bridge.totara.complete(*bridge.totara.pair_with(status=25))
    bridge.extract()
    [queued] = bridge.rows("SELECT id FROM bridge.export_queue")
    number = str(queued["id"])
    assert run("item", "cancel", number, "--why", "a test") == (
        0,
        "cancel: 1 done, 0 refused (look at their trace)\n",
        "",
    )
    assert run("item", "cancel", number)[0] == 1
    assert bridge.states() == {"cancelled": 1}
    assert run("item", "requeue", number)[0] == 0
    assert unhold(bridge.staging, Wants(DESTINATION), bridge.now) == 1
    assert bridge.push(oracle).sent == 1
    assert run("item", "resend", number)[0] == 0
    said = run("trace", "--item", number)[1]
    assert [word for word in ("cancel", "a test", "requeue", "resend") if word not in said] == []
