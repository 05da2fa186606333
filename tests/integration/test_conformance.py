"""The conformance check passes an endpoint that keeps the contract, and finds each way of breaking it."""

import argparse
import itertools
import json
import secrets
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.bridge import access_to
from tests.wrong_endpoint import Answer, Call, HangUp, Wrong, endpoint, said
from totara_bridge.command import check_endpoint
from totara_bridge.oracle.conformance import RULES, Finding, RuleResult, check_conformance
from totara_bridge.sandbox.oracle.server import SandboxOracle

BATCH = 25  # items in a full batch here


@pytest.fixture(scope="module")
def sandbox() -> Iterator[SandboxOracle]:
    """One for all: each run of the check has keys of its own."""
    with SandboxOracle() as running:
        yield running


def found(results: list[RuleResult] | tuple[RuleResult, ...]) -> dict[str, Finding]:
    return {result.rule.name: result.finding for result in results if result.finding is not Finding.PASS}


def test_the_sandbox_keeps_every_rule(oracle: SandboxOracle) -> None:
    results = [*check_conformance(access_to(oracle), full_batch=BATCH, gzip=True)]
    assert [result for result in results if result.finding is not Finding.PASS] == []
    assert [result.rule for result in results] == [*RULES]


def test_answers_without_results_keep_every_rule_that_can_be_seen(oracle: SandboxOracle) -> None:
    oracle.settings(empty_answers=True)
    results = [*check_conformance(access_to(oracle), full_batch=BATCH)]
    unseen = [*found(results).items()]
    assert unseen == [(name, Finding.NOT_CHECKED) for name in ("R6", "R7", "R8", "R19")]
    told = {result.rule.name: result.note for result in results}
    key = str(told["R7"]).split("that you have ")[1].split()[0]
    assert oracle.received(key=key)["keys_stored"] == 1


def no_token(call: Call) -> Answer:
    return said(200, {"token": "abc"}) if "token" in call.path else call.right()


def nothing_is_stored(call: Call) -> Answer:
    answer = call.right()
    return said(503, {"error": {"code": "W", "message": "Closed."}}) if answer.results else answer


def any_token(*, given: bool) -> Callable[[], Wrong]:
    def make() -> Wrong:
        good: list[str] = []

        def wrong(call: Call) -> Answer:
            answer = call.right()
            if answer.status == 401 and ("authorization" in call.headers) is given:
                call.headers["authorization"] = good[0]
                return call.right()
            if answer.status == 200 and "token" not in call.path:
                good.append(call.headers["authorization"])
            return answer

        return wrong

    return make


def each_result_twice(call: Call) -> Answer:
    answer = call.right()
    return answer.with_results(answer.results * 2) if answer.results else answer


def lost_result(call: Call) -> Answer:
    answer = call.right()
    return answer.with_results(answer.results[:-1]) if len(answer.results) == 3 and answer.status == 200 else answer


def forgets(*, by_header: bool) -> Callable[[], Wrong]:
    """Stores again what comes again: in the same request, or in another."""

    def make() -> Wrong:
        headers: set[str] = set()
        one_by_one = threading.Lock()
        numbers = itertools.count()

        def wrong(call: Call) -> Answer:
            with one_by_one:  # of several at once, the first is the one that stores
                answer = call.right()
                again = (header := call.headers.get("idempotency-key", "")) in headers
                headers.add(header)
            if "token" in call.path or not answer.results or again is not by_header:
                return answer
            for result in (results := answer.results):
                if result["status"] == "duplicate":
                    result |= {"status": "stored", "reference": f"X{next(numbers)}"}
            return answer.with_results(results)

        return wrong

    return make


def looks_then_stores() -> Wrong:
    """Four requests look before any of them has stored."""
    together = threading.Barrier(4, timeout=60)
    numbers = itertools.count()

    def wrong(call: Call) -> Answer:
        if not call.first or len(call.items or ()) != 2:
            return call.right()
        together.wait()
        keys = [item["idempotencyKey"] for item in call.items or ()]
        results = [{"idempotencyKey": key, "status": "stored", "reference": f"X{next(numbers)}"} for key in keys]
        return said(200, {"results": results})

    return wrong


def server_error_for_the_second(call: Call) -> Answer:
    answer = call.right()
    if call.first and [result["status"] for result in answer.results] == ["duplicate", "duplicate"]:
        return said(500, {"title": "unique constraint violated"})
    return answer


def refuses_for_ever() -> Wrong:
    refused: set[str] = set()

    def wrong(call: Call) -> Answer:
        items = call.items or []
        keys = {item["idempotencyKey"] for item in items}
        if len(items) > 1 and (refused & keys or any("userId" not in item for item in items)):
            refused.update(keys)
            return said(400, {"error": {"code": "W", "message": "No."}})
        return call.right()

    return wrong


def takes_anything(call: Call) -> Answer:
    items = call.items
    if items and any("userId" not in item for item in items):
        call.body = json.dumps({"items": [{"userId": 1} | item for item in items]}).encode()
    return call.right()


def silent_refusal(call: Call) -> Answer:
    answer = call.right()
    for result in (results := answer.results):
        result.pop("error", None)
    return answer.with_results(results) if results else answer


def chatty_refusal(call: Call) -> Answer:
    answer = call.right()
    for result in (results := answer.results):
        if "error" in result:
            result["error"]["message"] = f"{(call.items or [{}])[0]['user']['email']} is unknown"
    return answer.with_results(results) if results else answer


def when(condition: Callable[[Call], bool], answer: Answer | None) -> Wrong:
    """This answer, or none, to the batches that meet the condition."""

    def wrong(call: Call) -> Answer:
        if "token" in call.path or not condition(call):
            return call.right()
        if answer is None:
            raise HangUp
        return answer

    return wrong


def strict(call: Call) -> bool:
    return any("addedLater" in item for item in call.items or ())


def without_address(call: Call) -> bool:
    return any(item["user"]["email"] is None for item in call.items or ())


def amended(call: Call) -> bool:
    return any(item["kind"] != "completion" for item in call.items or ())


def packed(call: Call) -> bool:
    return "content-encoding" in call.headers


def large(call: Call) -> bool:
    return len(call.items or ()) >= BATCH


def empty(call: Call) -> bool:
    return call.items == []


def not_json(call: Call) -> bool:
    return call.items is None and not packed(call)


def other_headers(**headers: str | None) -> Wrong:
    def wrong(call: Call) -> Answer:
        answer = call.right()
        changed = answer.headers | {name.replace("_", "-"): value for name, value in headers.items()}
        answer.headers = {name: value for name, value in changed.items() if value is not None}
        return answer

    return wrong


ERROR = said(500, {"title": "Broken"})
REFUSED = said(400, {"error": {"code": "W", "message": "No."}})
ALL = {rule.name for rule in RULES}
STORED_ONLY = ALL - {"R1", "R2", "R20", "R21", "R22"}

WRONG: list[tuple[str, Callable[[], Wrong], set[str]]] = [
    # the rule that is broken, how, and the rules that cannot be seen then
    ("R1", lambda: no_token, ALL - {"R1"}),
    ("R2", lambda: nothing_is_stored, STORED_ONLY),
    ("R3", any_token(given=False), set()),
    ("R4", any_token(given=True), set()),
    ("R5", lambda: each_result_twice, set()),
    ("R5", lambda: lost_result, set()),
    ("R6", forgets(by_header=True), {"R8"}),
    ("R7", forgets(by_header=False), set()),
    ("R8", looks_then_stores, set()),
    ("R8", lambda: server_error_for_the_second, set()),
    ("R9", refuses_for_ever, set()),
    ("R9", lambda: takes_anything, {"R10", "R11"}),
    ("R10", lambda: silent_refusal, set()),
    ("R11", lambda: chatty_refusal, set()),
    ("R12", lambda: when(not_json, ERROR), set()),
    ("R13", lambda: when(empty, ERROR), set()),
    ("R14", lambda: when(strict, REFUSED), set()),
    ("R15", lambda: when(without_address, REFUSED), set()),
    ("R16", lambda: when(lambda call: not packed(call) and not call.body.isascii(), ERROR), set()),
    ("R17", lambda: when(amended, REFUSED), set()),
    ("R18", lambda: when(large, ERROR), set()),
    ("R19", lambda: when(packed, said(415, {"title": "What is that?"})), set()),
    ("R20", lambda: when(empty, None), {"R13"}),
    ("R21", lambda: when(empty, said(302, {}, location="/login")), {"R13"}),
    ("R22", lambda: when(not_json, Answer(400, {"content-type": "application/json"}, b"<html>")), set()),
    ("R22", lambda: other_headers(content_type="text/html"), set()),
    ("R23", lambda: other_headers(connection="close"), set()),
    ("R24", lambda: other_headers(x_request_id=None), set()),
]


@pytest.mark.parametrize(("rule", "make", "unseen"), WRONG, ids=[f"{rule}-{n}" for n, (rule, *_) in enumerate(WRONG)])
def test_what_is_wrong_breaks_its_own_rule_only(
    sandbox: SandboxOracle, rule: str, make: Callable[[], Wrong], unseen: set[str]
) -> None:
    with endpoint(sandbox, make()) as access:
        results = [*check_conformance(access, full_batch=BATCH, gzip=True)]
    broken = Finding.ADVICE if rule in {"R23", "R24"} else Finding.FAIL
    assert found(results) == {rule: broken} | dict.fromkeys(unseen, Finding.NOT_CHECKED)
    [result] = [result for result in results if result.rule.name == rule]
    assert result.expected
    assert result.answered


def test_every_rule_can_be_broken() -> None:
    assert {rule for rule, *_ in WRONG} == ALL


def test_a_full_batch_may_be_too_large(sandbox: SandboxOracle) -> None:
    with endpoint(sandbox, when(large, said(413, {}))) as access:
        [result] = [each for each in check_conformance(access, full_batch=BATCH) if each.rule.name == "R18"]
    assert result.finding is Finding.PASS
    assert "413" in str(result.note)


def test_one_request_may_wait_for_another(sandbox: SandboxOracle) -> None:
    def busy(call: Call) -> bool:
        return call.first and len(call.items or ()) == 2 and next(numbers) > 0

    numbers = itertools.count()
    with endpoint(sandbox, when(busy, said(409, {}))) as access:
        [result] = [each for each in check_conformance(access, full_batch=BATCH) if each.rule.name == "R8"]
    assert (result.finding, str(result.note)[:6]) == (Finding.PASS, "3 of 4")


def command(access_to_check: object, *more: str) -> int:
    parser = argparse.ArgumentParser()
    check_endpoint.register(parser.add_subparsers())
    fields = vars(access_to_check)
    given = [f"--{name.replace('_', '-')}={fields[name]}" for name in ("base_url", "token_url", "client_id")]
    arguments = parser.parse_args(["check-endpoint", *given, f"--items-limit={BATCH}", *more])
    return int(arguments.run(arguments))


def test_the_command_reports_each_rule(
    oracle: SandboxOracle, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(check_endpoint.SECRET, oracle.client_secret)
    assert command(access_to(oracle), "--yes", "--skip=R17") == 0
    report = capsys.readouterr().out
    assert [line.split()[0] for line in report.splitlines() if line.startswith("R")] == [rule.name for rule in RULES]
    assert "R17  not checked" in report
    assert "24 rules: 22 pass, 2 not checked" in report
    assert oracle.client_secret not in report
    prefix = report.rsplit(" ", 1)[1].strip(".\n")
    assert {key.startswith(prefix) for key in oracle.stored_keys()} == {True}


def test_the_command_says_what_to_change(
    sandbox: SandboxOracle, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(check_endpoint.SECRET, sandbox.client_secret)
    with endpoint(sandbox, when(empty, ERROR)) as access:
        assert command(access, "--yes") == 1
    [told] = [part for part in capsys.readouterr().out.split("\nR") if part.startswith("13 ")]
    assert [line.strip() for line in told.splitlines()] == [
        "13  FAIL         An empty batch is answered with 2xx, 400 or 422.",
        "expected: 2xx, 400 or 422",
        "answered: 500 (Broken)",
        "change: Take an empty list of items; the bridge's connection test posts one.",
    ]


def test_nothing_is_sent_unless_it_may_be(oracle: SandboxOracle, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(access_to(oracle)) == 2
    assert "give --yes" in capsys.readouterr().out
    assert oracle.received()["requests"] == 0


def test_an_address_that_cannot_be_is_told(
    oracle: SandboxOracle, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = secrets.token_hex()
    monkeypatch.setenv(check_endpoint.SECRET, secret)
    assert command(access_to(oracle), "--yes", "--path=completions") == 2
    assert capsys.readouterr().out == (
        "The Oracle connection has the path 'completions': write it as /completions, without blanks, ? and #.\n"
    )
    assert command(access_to(oracle), "--yes") == 1
    report = " ".join(capsys.readouterr().out.split())
    assert "R1 FAIL" in report
    assert "answered 401 (invalid_client: Client authentication failed.)" in report
    assert "Airflow" not in report
    assert secret not in report
