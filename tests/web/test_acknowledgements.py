"""What callers say of completions is recorded once, by caller and version, and one mistake keeps no other back."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import pytest
import requests
from sqlalchemy import Engine, text

from tests.bridge import SITE, Bridge
from tests.staging_roles import PULL, address_as
from tests.web.pull_server import PullServer
from tests.web.puller import Puller
from totara_bridge import api_token
from totara_bridge.erase import erase
from totara_bridge.purge import Asked, purge
from totara_bridge.staging.api_token import Scope

pytestmark = pytest.mark.staging("has_read")

#: Seconds after which what should have happened never will.
_PATIENCE = 240.0


@pytest.fixture
def staged(bridge: Bridge) -> Bridge:
    """A bridge that has read its Totara."""
    return bridge


def completions(bridge: Bridge, number: int = 1) -> list[tuple[str, int]]:
    """Some completions: their ids, and the versions that they have."""
    rows = bridge.rows(
        """SELECT site || '-' || user_id || '-' || course_id AS id, change_seq FROM bridge.completion
           WHERE deleted_at IS NULL ORDER BY change_seq LIMIT :number""",
        number=number,
    )
    return [(row["id"], row["change_seq"]) for row in rows]


def pair_of(word: str) -> tuple[int, int]:
    _, user, course = word.split("-")
    return int(user), int(course)


def send(puller: Puller, *sent: Any) -> dict[str, Any]:
    answer = puller.post("/acknowledgements", sent)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    assert sum(found[each] for each in ("recorded", "unchanged", "outdated", "unknown", "invalid")) == len(sent)
    return found


def results(puller: Puller, *sent: Any) -> list[str]:
    return [each["result"] for each in send(puller, *sent)["results"]]


def recorded(bridge: Bridge, caller: str = "warehouse") -> list[dict[str, Any]]:
    return bridge.rows(
        """SELECT site || '-' || user_id || '-' || course_id AS id, change_seq AS version, status, reference, message
           FROM bridge.acknowledgement WHERE caller = :caller ORDER BY site, user_id, course_id""",
        caller=caller,
    )


def change(bridge: Bridge, statement: str, **values: Any) -> None:
    with bridge.staging.begin() as transaction:
        transaction.execute(text(statement), values)


@pytest.fixture
def another(staging: Engine, address: str) -> Iterator[Puller]:
    """Another system that fetches."""
    with staging.begin() as transaction:
        token = api_token.issue(transaction, caller="academy", by="ann", now=datetime.now(UTC)).token
    with Puller(address, token) as calling:
        yield calling


def test_it_is_recorded_once_however_often_it_is_said(staged: Bridge, puller: Puller) -> None:
    [(done, version)] = completions(staged)
    said = {"id": done, "status": "processed", "version": version, "reference": "REF-1", "message": "naïve 🎓"}
    assert send(puller, said) == {
        "results": [{"id": done, "result": "recorded"}],
        "recorded": 1, "unchanged": 0, "outdated": 0, "unknown": 0, "invalid": 0,
    }  # fmt: skip
    before = staged.rows("SELECT * FROM bridge.acknowledgement")
    assert recorded(staged) == [said]
    for _ in range(7):  # PostgreSQL makes another plan after some
        assert results(puller, said) == ["unchanged"]
    assert staged.rows("SELECT * FROM bridge.acknowledgement") == before


def test_what_is_said_of_the_same_version_later_replaces_it(staged: Bridge, puller: Puller) -> None:
    [(done, version)] = completions(staged)
    for status, reference in (("received", None), ("rejected", None), ("rejected", "R"), ("rejected", None)):
        assert results(puller, {"id": done, "status": status, "reference": reference}) == ["recorded"]
        assert recorded(staged) == [
            {"id": done, "version": version, "status": status, "reference": reference, "message": None}
        ]


def test_callers_do_not_see_each_others(staged: Bridge, puller: Puller, another: Puller) -> None:
    [(done, _)] = completions(staged)
    assert results(puller, {"id": done, "status": "processed"}) == ["recorded"]
    assert results(another, {"id": done, "status": "rejected"}) == ["recorded"]
    assert results(puller, {"id": done, "status": "processed"}) == ["unchanged"]
    assert [row["status"] for caller in ("warehouse", "academy") for row in recorded(staged, caller)] == [
        "processed",
        "rejected",
    ]


def test_a_rotated_token_is_the_same_caller(staged: Bridge, puller: Puller, staging: Engine) -> None:
    [(done, _)] = completions(staged)
    assert results(puller, {"id": done, "status": "processed"}) == ["recorded"]
    with staging.begin() as transaction:
        rotated = api_token.rotate(transaction, caller="warehouse", by="ann", now=datetime.now(UTC))
    puller.session.headers["X-Api-Key"] = rotated.new.token
    assert results(puller, {"id": done, "status": "processed"}) == ["unchanged"]


def test_of_an_older_version_it_is_outdated_and_never_replaces_a_newer_one(staged: Bridge, puller: Puller) -> None:
    [(done, first)] = completions(staged)
    staged.totara.regress(*pair_of(done))
    staged.totara.complete(*pair_of(done))
    staged.later(minutes=1)
    staged.extract()
    [second] = [row["change_seq"] for row in newest(staged, done)]
    assert second > first

    outdated = send(puller, {"id": done, "status": "processed", "version": first})
    assert (outdated["outdated"], outdated["results"][0]["result"]) == (1, "outdated")
    assert f"version {second} now" in outdated["results"][0]["detail"]
    assert [row["version"] for row in recorded(staged)] == [first]
    assert results(puller, {"id": done, "status": "processed", "version": first}) == ["outdated"]

    assert results(puller, {"id": done, "status": "received", "version": second}) == ["recorded"]
    for status in ("processed", "rejected"):
        assert results(puller, {"id": done, "status": status, "version": first}) == ["outdated"]
    assert [(row["version"], row["status"]) for row in recorded(staged)] == [(second, "received")]


def newest(bridge: Bridge, word: str) -> list[dict[str, Any]]:
    user, course = pair_of(word)
    return bridge.rows(
        "SELECT change_seq FROM bridge.completion WHERE user_id = :user AND course_id = :course",
        user=user,
        course=course,
    )


def test_a_version_that_never_was_is_invalid(staged: Bridge, puller: Puller) -> None:
    [(done, version)] = completions(staged)
    told = send(puller, {"id": done, "status": "processed", "version": version + 1})["results"][0]
    assert told["result"] == "invalid"
    assert f"has version {version}" in told["detail"]
    assert recorded(staged) == []


def test_of_several_of_one_completion_the_last_counts_and_each_has_its_result(staged: Bridge, puller: Puller) -> None:
    (one, version), (two, _) = completions(staged, 2)
    found = send(
        puller,
        {"id": one, "status": "received"},
        {"id": two, "status": "processed"},
        {"id": one, "status": "rejected"},
        {"id": one, "status": "processed", "version": version},
    )
    assert [each["result"] for each in found["results"]] == ["recorded"] * 4
    assert ["detail" in each for each in found["results"]] == [True, False, True, False]
    assert {row["id"]: row["status"] for row in recorded(staged)} == {one: "processed", two: "processed"}


def test_of_several_of_one_completion_an_older_version_does_not_count(staged: Bridge, puller: Puller) -> None:
    [(done, version)] = completions(staged)
    change(
        staged,
        "UPDATE bridge.completion SET change_seq = nextval('bridge.change_seq') WHERE change_seq = :it",
        it=version,
    )
    found = results(puller, {"id": done, "status": "processed"}, {"id": done, "status": "rejected", "version": version})
    assert found == ["recorded", "outdated"]
    assert [row["status"] for row in recorded(staged)] == ["processed"]


NEVER: list[Any] = [
    None,
    True,
    7,
    "sbx-3-20",
    [],
    [[[[]]]],
    {},
    {"id": "ID"},
    {"status": "received"},
    {"id": None, "status": "received"},
    {"id": 3, "status": "received"},
    {"id": {"id": "ID"}, "status": "received"},
    {"id": "", "status": "received"},
    {"id": "ID ", "status": "received"},
    {"id": "ID\n", "status": "received"},
    {"id": "ID\u0000", "status": "received"},
    {"id": "ID\ud800", "status": "received"},
    {"id": "SBX-3-20", "status": "received"},
    {"id": "sbx-03-20", "status": "received"},
    {"id": "sbx--3-20", "status": "received"},
    {"id": "sbx-3-20-1", "status": "received"},
    {"id": "sbx-٣-20", "status": "received"},
    {"id": "sbx-9223372036854775808-20", "status": "received"},
    {"id": "sbx-3-" + "9" * 5000, "status": "received"},
    {"id": "' OR 1=1 --", "status": "received"},
    {"id": "ID", "status": "done"},
    {"id": "ID", "status": None},
    {"id": "ID", "status": ["received"]},
    {"id": "ID", "status": "RECEIVED"},
    {"id": "ID", "status": "received", "version": 0},
    {"id": "ID", "status": "received", "version": -1},
    {"id": "ID", "status": "received", "version": 2**63},
    {"id": "ID", "status": "received", "version": "HUGE"},
    {"id": "ID", "status": "received", "version": "1"},
    {"id": "ID", "status": "received", "version": 1.5},
    {"id": "ID", "status": "received", "version": True},
    {"id": "ID", "status": "received", "reference": "x" * 201},
    {"id": "ID", "status": "received", "reference": 5},
    {"id": "ID", "status": "received", "reference": "a\u0000b"},
    {"id": "ID", "status": "received", "message": "x" * 1001},
    {"id": "ID", "status": "received", "message": "\udfff"},
    {"id": "ID", "status": "received", "mesage": "x"},
    {"id": "ID", "status": "received", "\ud800\u0000": "x"},
]


def test_what_is_wrong_with_one_keeps_no_other_from_being_recorded(staged: Bridge, puller: Puller) -> None:
    (good, _), (real, _) = completions(staged, 2)
    body = json.dumps(NEVER).replace('"ID', f'"{real}').replace('"HUGE"', "1" + "0" * 5000)
    answer = _post(puller, body[:-1] + f',{{"id":"{good}","status":"received"}}]')
    assert answer.status_code == 200, answer.text
    *wrong, right = answer.json()["results"]
    assert right == {"id": good, "result": "recorded"}
    assert (answer.json()["invalid"], answer.json()["recorded"]) == (len(NEVER), 1)
    assert [row["id"] for row in recorded(staged)] == [good]
    for sent, told in zip(NEVER, wrong, strict=True):
        assert told["result"] == "invalid", sent
        assert told["detail"].endswith("."), told
        assert told["detail"][0].islower() or told["detail"].startswith("Send "), told
        assert "pydantic" not in told["detail"]
        assert "Sent" not in told["detail"]
    assert wrong[-2]["id"] == wrong[-1]["id"] == real
    assert {each["id"] for each in wrong[:9]} <= {None, real, ""}


def _post(puller: Puller, body: str | bytes, content_type: str | None = "application/json") -> requests.Response:
    sent = body.encode() if isinstance(body, str) else body
    headers = {"Content-Type": content_type} if content_type is not None else {}
    return puller.session.post(puller.address + "/acknowledgements", data=sent, headers=headers, timeout=_PATIENCE)


def test_what_the_bridge_has_not_is_unknown(staged: Bridge, puller: Puller) -> None:
    ((good, _),) = completions(staged)
    user, course = pair_of(good)
    unknown = ["sbx-999999-20", f"oth-{user}-{course}", f"sbx-{2**63 - 1}-{course}", "sbx-0-0"]
    found = send(puller, *({"id": each, "status": "received"} for each in (*unknown, good)))
    assert [each["result"] for each in found["results"]] == ["unknown"] * 4 + ["recorded"]
    assert [each["id"] for each in found["results"]] == [*unknown, good]
    assert (found["unknown"], found["recorded"]) == (4, 1)
    assert [row["id"] for row in recorded(staged)] == [good]


ONE = '{"id":"sbx-3-20","status":"received"}'

REFUSED = {
    "nothing": (b"", 400, "invalid-body"),
    "no JSON": (b"hello", 400, "invalid-body"),
    "an object": (ONE.encode(), 400, "invalid-body"),
    "null": (b"null", 400, "invalid-body"),
    "an empty list": (b"[]", 400, "invalid-body"),
    "cut off": (f"[{ONE}".encode(), 400, "invalid-body"),
    "two": (f"[{ONE}][{ONE}]".encode(), 400, "invalid-body"),
    "NaN": (b'[{"id":"sbx-3-20","status":"received","version":NaN}]', 400, "invalid-body"),
    "a key twice": (b'[{"id":"sbx-3-20","status":"received","status":"rejected"}]', 400, "invalid-body"),
    "deep": (b"[" * 100_000 + b"]" * 100_000, 400, "invalid-body"),
    "deep objects": (b'[{"id":' * 100_000, 400, "invalid-body"),
    "a byte order mark": (b"\xef\xbb\xbf" + f"[{ONE}]".encode(), 400, "invalid-body"),
    "UTF-16": (f"[{ONE}]".encode("utf-16"), 400, "invalid-body"),
    "bad UTF-8": (b'[{"id":"\xff","status":"received"}]', 400, "invalid-body"),
    "half of a pair": (b'[{"id":"\xed\xa0\x80","status":"received"}]', 400, "invalid-body"),
    "a list that goes on after its end": (f"[{ONE}],{ONE}".encode(), 400, "invalid-body"),
    "a comma at the end": (f"[{ONE},]".encode(), 400, "invalid-body"),
    "a comma at the beginning": (f"[,{ONE}]".encode(), 400, "invalid-body"),
    "no comma": (f"[{ONE} {ONE}]".encode(), 400, "invalid-body"),
    "a comma too many": (f"[{ONE},,{ONE}]".encode(), 400, "invalid-body"),
    "a blank that is none in JSON": (f"[{ONE},\xa0{ONE}]".encode(), 400, "invalid-body"),
    "a bracket alone": (b"[", 400, "invalid-body"),
    "an item that is a long text": (f'[{ONE},"{"a" * 131_072}"]'.encode(), 400, "invalid-body"),
    "an item that is a long list": (f"[{ONE},[{'[],' * 50_000}0]]".encode(), 400, "invalid-body"),
    "an item that is a long number": (f"[{ONE},{'1' * 300_000}]".encode(), 400, "invalid-body"),
    "an item that is a long text of long characters": (f'["{"🎓" * 131_072}",{ONE}]'.encode(), 400, "invalid-body"),
    "many": (b"[" + b"[]," * 5_300_000 + b"0]", 413, "too-many-acknowledgements"),
    "5 001 and what nobody reads any more": (
        f"[{','.join([ONE] * 5001)},hello".encode(),
        413,
        "too-many-acknowledgements",
    ),
    "5 001": (f"[{','.join([ONE] * 5001)}]".encode(), 413, "too-many-acknowledgements"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_list_of_acknowledgements_is_refused(staged: Bridge, puller: Puller, what: str) -> None:
    body, status, kind = REFUSED[what]
    answer = _post(puller, body)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), answer.text
    assert answer.json()["type"] == f"urn:totara-bridge:problem:{kind}"
    assert recorded(staged) == []


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 200),
        ("Application/JSON; charset=UTF-8", 200),
        ('application/json;charset="utf-8"', 200),
        (None, 415),
        ("", 415),
        ("text/plain", 415),
        ("text/json", 415),
        ("application/jsonp", 415),
        ("application/x-www-form-urlencoded", 415),
        ("application/json; charset=latin-1", 415),
    ],
)
def test_only_json_is_taken(staged: Bridge, puller: Puller, content_type: str | None, status: int) -> None:
    [(done, _)] = completions(staged)
    answer = _post(puller, f'[{{"id":"{done}","status":"received"}}]', content_type)
    assert answer.status_code == status, answer.text
    assert len(recorded(staged)) == (status == 200)


def test_there_are_no_parameters(staged: Bridge, puller: Puller) -> None:
    [(done, _)] = completions(staged)
    answer = puller.session.post(
        puller.address + "/acknowledgements?caller=academy", json=[{"id": done, "status": "received"}], timeout=60
    )
    assert (answer.status_code, answer.json()["errors"][0]["parameter"]) == (400, "caller")
    assert recorded(staged) == []


def test_a_token_to_read_may_not_acknowledge(staged: Bridge, address: str, staging: Engine) -> None:
    [(done, _)] = completions(staged)
    with staging.begin() as transaction:
        issued = api_token.issue(transaction, caller="reader", scopes=[Scope.READ], by="ann", now=datetime.now(UTC))
    with Puller(address, issued.token) as reader:
        assert reader.post("/acknowledgements", [{"id": done, "status": "received"}]).status_code == 403
    assert staged.rows("SELECT * FROM bridge.acknowledgement") == []


def fill(bridge: Bridge, number: int) -> list[str]:
    """Make so many completions; their ids."""
    change(
        bridge,
        """INSERT INTO bridge.completion (site, user_id, course_id, row_id, status, changed_at)
           SELECT 'fil', n, 1, n, 'complete', now() FROM generate_series(1, :number) n""",
        number=number,
    )
    return [f"fil-{n}-1" for n in range(1, number + 1)]


def test_five_thousand_at_once_are_taken(staged: Bridge, puller: Puller) -> None:
    sent = [{"id": each, "status": "processed", "message": "ä" * 100} for each in fill(staged, 5000)]
    assert send(puller, *sent)["recorded"] == 5000
    assert send(puller, *reversed(sent))["unchanged"] == 5000
    assert len(recorded(staged)) == 5000


def test_they_are_told_in_their_order_however_long_each_is(staged: Bridge, puller: Puller) -> None:
    """Also where many of them, or blanks between them, are longer than what is read at once."""
    ((good, _),) = completions(staged)
    sent = [
        {"id": f"sbx-{place}-1", "status": "received", "message": "é🎓x"[place % 3] * (1001 + place * 7919 % 9_000)}
        for place in range(1, 100)
    ]
    items = [json.dumps(each, ensure_ascii=place % 5 > 0, indent=place % 2 or None) for place, each in enumerate(sent)]
    text = (" " * 300_000 + "\n,\t").join([",".join(items[:50]), " , ".join(items[50:]), json.dumps({"id": good})])
    answer = _post(puller, f"\r\n [ {text} ]\n")
    assert answer.status_code == 200, answer.text
    assert [each["id"] for each in answer.json()["results"]] == [*(each["id"] for each in sent), good]
    assert {each["detail"] for each in answer.json()["results"][:-1]} == {
        "message: It is too long: write 1000 characters at most."
    }


def test_what_is_as_long_as_it_may_be_keeps_no_other_back(staged: Bridge, puller: Puller) -> None:
    ((good, _),) = completions(staged)
    right = f'{{"id":"{good}","status":"received"}}'
    answer = _post(puller, f'["{"é" * 131_070}",{right},"{"a" * 131_070}"]')
    assert answer.status_code == 200, answer.text
    assert [each["result"] for each in answer.json()["results"]] == ["invalid", "recorded", "invalid"]


def test_a_deletion_is_acknowledged_like_any_other_change(staged: Bridge, puller: Puller) -> None:
    [(done, version)] = completions(staged)
    staged.totara.delete_completion(*pair_of(done))
    staged.later(minutes=1)
    staged.full_compare()
    assert results(puller, {"id": done, "status": "processed", "version": version}) == ["outdated"]
    assert results(puller, {"id": done, "status": "processed"}) == ["recorded"]
    assert [row["version"] for row in recorded(staged)] == [row["change_seq"] for row in newest(staged, done)]


def test_of_an_erased_learner_no_words_are_kept(staged: Bridge, puller: Puller) -> None:
    ((gone, _),) = completions(staged)
    said = {"id": gone, "status": "processed", "reference": "zoe", "message": "Zoë did it"}
    assert results(puller, said) == ["recorded"]
    erase(staged.staging, site=SITE, user_id=pair_of(gone)[0], by="ann", dry_run=False, now=staged.now)
    assert recorded(staged) == []
    for result in ("recorded", "unchanged"):  # that its end was taken note of is no word about a person
        [told] = send(puller, said)["results"]
        assert told == {
            "id": gone,
            "result": result,
            "detail": "The learner was erased: reference and message are not kept.",
        }
    assert [(row["status"], row["reference"], row["message"]) for row in recorded(staged)] == [
        ("processed", None, None)
    ]


def test_a_purge_forgets_old_ones_and_they_can_be_said_again(staged: Bridge, puller: Puller) -> None:
    (old, _), (new, _) = completions(staged, 2)
    said = [{"id": each, "status": "processed"} for each in (old, new)]
    assert results(puller, *said) == ["recorded", "recorded"]
    change(
        staged,
        "UPDATE bridge.acknowledgement SET acknowledged_at = :at WHERE user_id = :user AND course_id = :course",
        at=datetime.now(UTC) - timedelta(days=401), user=pair_of(old)[0], course=pair_of(old)[1],
    )  # fmt: skip
    run_purge(staged)
    assert [row["id"] for row in recorded(staged)] == [new]
    assert results(puller, *said) == ["recorded", "unchanged"]


def run_purge(bridge: Bridge) -> None:
    purge(bridge.staging, Asked("ann", by_hand=True), now=datetime.now(UTC), stop=threading.Event())


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """Do all of it at the same time; what each gave."""
    together = threading.Barrier(len(calls))

    def begin(call: Callable[[], Any]) -> Any:
        together.wait(_PATIENCE)
        return call()

    with ThreadPoolExecutor(len(calls)) as threads:
        return [each.result(_PATIENCE) for each in [threads.submit(begin, call) for call in calls]]


def test_the_same_in_another_order_at_the_same_time_while_a_learner_is_erased_and_old_ones_go(
    staged: Bridge, address: str, token: str
) -> None:
    ids = [*fill(staged, 400), *(word for word, _ in completions(staged, 600))]
    user = pair_of(ids[-1])[0]
    orders = [ids, ids[::-1], [*islice(cycle(ids), 500, 1500)], sorted(ids)]

    def say(order: list[str], status: str) -> None:
        with Puller(address, token) as calling:
            for _ in range(3):
                found = send(calling, *({"id": each, "status": status, "message": status} for each in order))
                assert found["recorded"] + found["unchanged"] == len(ids)

    at_once(
        *(lambda order=order, status=status: say(order, status)
          for order, status in zip(orders, cycle(("received", "processed")))),
        lambda: erase(staged.staging, site=SITE, user_id=user, by="ann", dry_run=False, now=staged.now),
        lambda: run_purge(staged),
        lambda: run_purge(staged),
    )  # fmt: skip
    assert staged.rows("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()") == [
        {"deadlocks": 0}
    ]
    found = {row["id"]: row for row in recorded(staged)}
    for word in ids:
        row = found[word]
        assert row["message"] == (None if pair_of(word)[0] == user and word.startswith(SITE) else row["status"])


def test_a_server_that_is_killed_half_way_has_recorded_nothing_and_sent_again_it_is_recorded_once(
    staged: Bridge, token: str, tmp_path: Path
) -> None:
    ids = fill(staged, 100)
    said = [{"id": each, "status": "processed", "reference": each} for each in ids]
    server = PullServer(address_as(staged.staging, PULL), tmp_path / "server.log")
    try:
        server.wait()
        with Puller(server.address, token) as calling:
            send(calling, {"id": ids[50], "status": "received"})
        with staged.staging.begin() as held:
            held.execute(text("SELECT FROM bridge.acknowledgement FOR UPDATE"))
            with Puller(server.address, token) as calling, ThreadPoolExecutor(1) as thread:
                sending = thread.submit(calling.post, "/acknowledgements", said)
                wait_for(staged, "EXISTS (SELECT FROM pg_locks WHERE NOT granted)")
                server.kill()
                with pytest.raises(requests.ConnectionError):
                    sending.result(_PATIENCE)
        wait_for(staged, "NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'totara-bridge')")
        assert [(row["id"], row["status"]) for row in recorded(staged)] == [(ids[50], "received")]
        server.start()
        server.wait()
        with Puller(server.address, token) as calling:
            assert send(calling, *said)["recorded"] == 100
            assert send(calling, *said)["unchanged"] == 100
    finally:
        server.stop()
    assert sorted(row["reference"] for row in recorded(staged)) == sorted(ids)


def wait_for(bridge: Bridge, condition: str) -> None:
    """Return once it is true in the database."""
    deadline = time.monotonic() + _PATIENCE
    while not bridge.rows(f"SELECT {condition} AS is_so")[0]["is_so"]:
        assert time.monotonic() < deadline, condition
        time.sleep(0.01)
