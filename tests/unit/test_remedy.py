"""Every class of error that an item can have, and none beside, has a word on what to do about it."""

import json
from itertools import product

import requests

from totara_bridge.errors import OracleUnavailable
from totara_bridge.oracle import answers, failures
from totara_bridge.oracle.remedy import REMEDIES, remedy
from totara_bridge.oracle.verdict import Outcome, Reading

#: What a request with one item, or with two, can be answered with.
BODIES = (
    b"", b"{}", b"<html>", b'{"error": "x"}', b'{"results": []}', b'{"results": 7}',
    *(json.dumps({"results": [{"idempotencyKey": "a", "status": word}]}).encode()
      for word in ("stored", "duplicate", "rejected", "retry", "maybe")),
)  # fmt: skip


def classes(reading: Reading) -> set[str]:
    """Those that its items get: what goes back as it was gets none."""
    kept = [each for each in reading.verdicts.values() if each.outcome in (Outcome.FAILED, Outcome.DEAD)]
    assert all(each.error_class for each in kept)
    return {each.error_class or "" for each in kept}


def test_whatever_comes_back_there_is_a_word_on_what_to_do() -> None:
    found: set[str] = set()
    for keys, status, body in product((["a"], ["a", "b"]), range(200, 600), BODIES):
        found |= classes(answers.read(keys, status, {}, body, endpoint="https://oracle.example/x"))
    for kind, _ in failures._TABLE:
        found |= classes(answers.read_failure(["a"], kind("x"), endpoint="https://oracle.example/x"))
    refused = requests.ConnectionError(type("NewConnectionError", (Exception,), {})())
    found |= classes(answers.read_failure(["a"], refused, endpoint="https://oracle.example/x"))
    found |= classes(answers.read_failure(["a"], OracleUnavailable("no token"), endpoint="https://oracle.example/x"))
    assert found == set(REMEDIES)


def test_a_class_of_another_version_has_a_word_too() -> None:
    assert "does not know the class frozen" in remedy("frozen")
