"""The published contract says what the code does: its fields, its answers, its rules, and examples that run."""

import argparse
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.bridge import access_to
from totara_bridge.command import check_endpoint
from totara_bridge.oracle import answers
from totara_bridge.oracle.conformance import RULES, Sample
from totara_bridge.oracle.conformance.probe import Probe
from totara_bridge.oracle.verdict import Outcome, Reading
from totara_bridge.sandbox.oracle.server import SandboxOracle

PAGE = (Path(__file__).parents[2] / "docs/oracle-endpoint.md").read_text()
REQUEST, ANSWER = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
KEYS = re.findall(r'"idempotencyKey": "(\w+)"', ANSWER)


def rows(head: str) -> list[list[str]]:
    """The cells of the table with this head."""
    table = PAGE.split(f"| {head} |")[1].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("| ").split(" | ")] for row in table]


def shape(document: Any) -> Any:
    match document:
        case dict():
            return {name: shape(value) for name, value in document.items()}
        case list():
            return [shape(value) for value in document]
        case _:
            return None


def test_the_rules_are_those_of_the_check() -> None:
    published = [(name, statement.removesuffix(" *(advice)*")) for name, statement in rows("rule | what must hold")]
    assert published == [(rule.name, rule.statement) for rule in RULES]
    advice = {name for name, statement in rows("rule | what must hold") if statement.endswith("*(advice)*")}
    assert advice == {rule.name for rule in RULES if rule.advice}


def test_the_check_posts_what_is_published(oracle: SandboxOracle) -> None:
    with Probe(access_to(oracle), Sample(), full_batch=1, gzip=False) as probe:
        assert shape({"items": [probe.item()]}) == shape(json.loads(REQUEST))
        key = probe.key()
        assert re.fullmatch("TB[A-Z2-7]{26}", key)
        example = probe.send_text(REQUEST.encode())
    assert [result["status"] for result in example.results or []] == ["stored"]


def test_the_example_of_an_answer_is_read_so() -> None:
    reading = answers.read(KEYS, 207, {}, ANSWER.encode(), endpoint="here")
    stored, rejected = (reading.verdicts[key] for key in KEYS)
    assert (stored.outcome, stored.reference) == (Outcome.SENT, "OLC199059")
    assert (rejected.outcome, rejected.code, rejected.words) == (Outcome.DEAD, "WLF-17", "No such learner.")


def test_the_status_words_mean_what_is_published() -> None:
    for status, meaning in rows("status of a result | what becomes of the item"):
        [word] = re.findall("`(.*)`", status) or ["another"]
        body = json.dumps({"results": [{"idempotencyKey": "A", "status": word}]}).encode()
        assert answers.read(["A"], 200, {}, body, endpoint="here").verdicts["A"].outcome == meaning.split(":")[0]


def became(status: int, body: bytes) -> str:
    reading: Reading = answers.read(["A", "B"], status, {}, body, endpoint="here")
    outcomes = {verdict.outcome for verdict in reading.verdicts.values()}
    if reading.split:
        return "split"
    return outcomes.pop() if len(outcomes) == 1 else "each by its result"


@pytest.mark.parametrize(
    ("answer", "items"), [row[:2] for row in rows("your answer | its items | what the bridge does")]
)
def test_an_answer_means_what_is_published(answer: str, items: str) -> None:
    statuses = [int(each.replace("x", "0")) for each in re.findall(r"\b(\d(?:\d\d|xx))\b", answer)]
    bodies = [b"", b"{}"]
    if "with `results`" in answer:
        both = [{"idempotencyKey": "A", "status": "stored"}, {"idempotencyKey": "B", "status": "rejected"}]
        bodies = [json.dumps({"results": both}).encode()]
    elif "anything else" in answer:
        bodies = [b"<html>", b'{"a":', b'{"error": {"code": "1"}}']
    assert statuses
    assert {became(status, body) for status in statuses for body in bodies} == {items}


def test_the_examples_run_as_written(oracle: SandboxOracle) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    first, second = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
    start, post = first.split("\n", 1)
    assert start == "python -m totara_bridge.sandbox.oracle --port 8090 --data /tmp/oracle.sqlite &"
    answered = [_run(post, oracle) for _ in range(2)]
    assert [answer.count('"status":"stored"') for answer in answered] == [1, 0]
    assert '"status":"duplicate"' in answered[1]
    assert "24 pass" in _run(second, oracle)


def test_every_option_of_the_check_is_published() -> None:
    commands = argparse.ArgumentParser().add_subparsers()
    check_endpoint.register(commands)
    usage = commands.choices["check-endpoint"].format_usage()
    options = set(re.findall("--[a-z-]+", usage))
    assert "--items-limit" in options
    assert [option for option in options if option not in PAGE] == []


def _run(script: str, oracle: SandboxOracle) -> str:
    """What the script says, with this Python and this sandbox."""
    script = script.replace("127.0.0.1:8090", f"127.0.0.1:{oracle.port}").replace("python -m", f"{sys.executable} -m")
    ran = subprocess.run(["bash", "-euo", "pipefail", "-c", script], check=False, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout
