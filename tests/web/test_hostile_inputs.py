"""What is sent to break the Pull API is refused in words, and the next request is answered as if nothing had been."""

import base64
import http.client
import json
import socket
import zlib
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from requests.structures import CaseInsensitiveDict
from sqlalchemy import Engine
from starlette.applications import Starlette
from starlette.routing import Mount

from tests.staging_roles import PULL, address_as, as_role, close
from tests.web import of_all_kinds
from tests.web.documented import Documented
from tests.web.serving import serving
from totara_bridge.local.postgres import EmbeddedPostgres
from totara_bridge.staging.engine import staging_engine
from totara_bridge.web.pull import alone
from totara_bridge.web.pull.app import PREFIX, pull_app
from totara_bridge.web.pull.endpoint import LONGEST_BODY
from totara_bridge.web.pull.openapi.document import document
from totara_bridge.web.service import Service

#: Seconds after which what should have come never will.
_PATIENCE = 60.0

FEEDS = ("/completions", "/users", "/courses")

SQL = (
    "1'--",
    "' OR '1'='1",
    "1; DROP TABLE bridge.completion",
    "1) UNION SELECT sha256 FROM bridge.api_token--",
    "$1",
    "%(caller)s",
    ":caller",
    "\\';",
    "pg_sleep(60)",
)


@dataclass(frozen=True)
class Answered:
    """An answer over a socket."""

    status: int
    headers: Mapping[str, str]  #: found in whatever case
    body: bytes


@dataclass
class Victim:
    """A server and a token; each request is written byte by byte."""

    address: str
    token: str
    documented: Documented = field(default_factory=lambda: Documented(document()))

    @contextmanager
    def open(self) -> Iterator[socket.socket]:
        """A connection."""
        there = urlsplit(self.address)
        with closing(socket.create_connection((str(there.hostname), there.port or 0), timeout=_PATIENCE)) as made:
            yield made

    def head(self, method: str, target: str, *more: str) -> bytes:
        """The lines before a body."""
        lines = (f"{method} {PREFIX}{target} HTTP/1.1", "Host: bridge", f"X-Api-Key: {self.token}", *more, "", "")
        return "\r\n".join(lines).encode("utf-8", "surrogateescape")

    def ask(self, target: str, *more: str, method: str = "GET", body: bytes | None = None) -> Answered:
        """One request on a connection of its own."""
        length = () if body is None else (f"Content-Length: {len(body)}", "Content-Type: application/json")
        with self.open() as connection:
            connection.sendall(self.head(method, target, *more, *length) + (body or b""))
            return answered(connection, method)

    def post(self, body: bytes, *more: str) -> Answered:
        """Acknowledge."""
        return self.ask("/acknowledgements", *more, method="POST", body=body)

    def refuses(self, answer: Answered, path: str = "/completions", method: str = "GET") -> str:
        """It is a documented refusal that is the caller's fault, and the server is well; its kind."""
        assert 400 <= answer.status < 500, answer
        self.documented.judge(method, path, answer.status, answer.headers, answer.body)
        self.is_well()
        return str(json.loads(answer.body)["type"]).rpartition(":")[2]

    def is_well(self) -> None:
        """It answers properly."""
        after = self.ask("/completions?limit=1&since=1970-01-01")
        assert (after.status, len(json.loads(after.body)["items"])) == (200, 1)

    def cursor(self, feed: str = "/completions") -> str:
        """A good one."""
        return str(json.loads(self.ask(f"{feed}?limit=1").body)["cursor"])


def answered(connection: socket.socket, method: str = "GET") -> Answered:
    response = http.client.HTTPResponse(connection, method=method)
    response.begin()
    with response:
        return Answered(response.status, CaseInsensitiveDict(response.headers.items()), response.read())


def forged(text: Any = None, **changes: Any) -> str:
    """A cursor with a good checksum, that is good but for the changes.

    :param text: what it says, instead.
    """
    good = {"version": 1, "feed": "completions", "after": 1, "at": 2**62, "asked": {}}
    wire = (json.dumps([*(good | changes).values()]) if text is None else text).encode()
    return base64.urlsafe_b64encode(zlib.crc32(wire).to_bytes(4, "big") + wire).decode().rstrip("=")


@pytest.fixture(scope="module")
def staging(postgres: EmbeddedPostgres, of_all_kinds_template: str) -> Iterator[Engine]:
    """A staging database with rows of all kinds, for all the tests: what is hostile changes nothing."""
    name = "hostile_inputs"
    with psycopg.connect(postgres.dsn("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {of_all_kinds_template}")
    engine = staging_engine(postgres.dsn(name))
    yield engine
    close(engine)
    engine.dispose()
    postgres.drop_database(name)


@pytest.fixture(scope="module")
def token(staging: Engine) -> str:
    """Of somebody who may ask as often as can be asked."""
    return of_all_kinds.new_token(staging)


@pytest.fixture(scope="module")
def victim(staging: Engine, token: str) -> Iterator[Victim]:
    """The Pull API as it runs alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOTARA_BRIDGE_DATABASE_URL", address_as(staging, PULL))
        with serving(alone(), lifespan="on") as host:
            yield Victim(host + PREFIX, token)


@pytest.fixture(scope="module")
def hasty(staging: Engine, token: str) -> Iterator[Victim]:
    """One that does not wait for a body."""
    app = pull_app(Service(as_role(staging, PULL), threads=2, body_within=0.2))
    with serving(Starlette(routes=[Mount(PREFIX, app)])) as host:
        yield Victim(host + PREFIX, token)


def _escaped(word: str) -> str:
    return "".join(f"%{byte:02x}" for byte in word.encode())


@pytest.mark.parametrize("path", FEEDS)
def test_sql_in_a_parameter_is_a_word_like_any_other(victim: Victim, path: str) -> None:
    """What takes words takes these, and finds nobody; what takes no words says so."""
    _, _, operation = next(each for each in victim.documented.operations() if each[1] == path)
    for parameter in operation["parameters"]:
        for word in SQL:
            answer = victim.ask(f"{path}?{parameter['name']}={_escaped(word)}")
            victim.documented.judge("GET", path, answer.status, answer.headers, answer.body)
            if parameter["name"] == "email" and " " in word:
                assert answer.status == 400  # a blank there was a plus
            elif parameter["name"] in ("username", "email", "idnumber", "course_idnumber"):
                assert (answer.status, json.loads(answer.body)["items"]) == (200, [])
            else:
                assert answer.status == 400, (parameter, word)
    victim.is_well()


NUMBERS = ("0", "-1", "-0", "1.0", "1e3", "0x1", "٣", "１", "1_0", " 1", "+1", "", "NaN", "Infinity", "9" * 400)


@pytest.mark.parametrize("number", [*NUMBERS, str(2**63), str(2**64), str(-(2**63) - 1), "99999999999999999999"])
def test_a_number_that_cannot_be_is_refused(victim: Victim, number: str) -> None:
    for path, name in (
        ("/completions", "userid"),
        ("/completions", "courseid"),
        ("/completions", "limit"),
        ("/users", "userid"),
        ("/users", "limit"),
        ("/courses", "courseid"),
        ("/courses", "limit"),
    ):
        assert victim.refuses(victim.ask(f"{path}?{name}={_escaped(number)}"), path) == "invalid-parameter"


def test_the_largest_numbers_that_can_be_are_taken(victim: Victim) -> None:
    for path, name in (("/completions", "userid"), ("/completions", "courseid"), ("/users", "userid")):
        assert victim.ask(f"{path}?{name}={2**63 - 1}").status == 200
    assert victim.refuses(victim.ask("/completions?limit=5001")) == "invalid-parameter"
    assert victim.ask("/completions?limit=5000").status == 200


QUERIES = {
    "NUL": ("username=a%00b", "invalid-parameter"),
    "NUL in a name": ("a%00b=1", "invalid-parameter"),
    "NUL in a time": ("since=2026-01-31%00", "invalid-parameter"),
    "half of a pair": ("username=%ED%A0%80", "invalid-query"),
    "half of a pair in a name": ("%ED%A0%80=1", "invalid-query"),
    "no UTF-8": ("username=%FF%FE", "invalid-query"),
    "overlong UTF-8": ("username=%C0%AF", "invalid-query"),
    "UTF-8 cut off": ("username=%E2%82", "invalid-query"),
    "percent and no digits": ("username=%zz", "invalid-query"),
    "percent at the end": ("username=ann%", "invalid-query"),
    "percent and one digit": ("username=%4", "invalid-query"),
    "percent u": ("username=%u0041", "invalid-query"),
    "a long query": ("username=" + "a" * 60_000, "query-too-long"),
    "a long query of parameters": ("a&" * 30_000, "query-too-long"),
    "a word that is too long": ("username=" + "a" * 256, "invalid-parameter"),
    "an empty word": ("username=", "invalid-parameter"),
    "no value": ("username", "invalid-parameter"),
    "twice": ("limit=1&limit=2", "invalid-parameter"),
    "twice the same": ("limit=1&limit=1", "invalid-parameter"),
    "unknown": ("dry_run=1", "invalid-parameter"),
    "in other case": ("Limit=1", "invalid-parameter"),
    "a list": ("userid[]=3", "invalid-parameter"),
    "markup": ("<script>alert(1)</script>=1", "invalid-parameter"),
    "a header": ("x%0d%0aSet-Cookie:%20a=b", "invalid-parameter"),
    "the token": ("token=tbk_" + "0" * 36, "invalid-parameter"),
    "a time without a zone": ("since=2026-01-31T12:00:00", "invalid-parameter"),
    "a time with a blank": ("since=2026-01-31T12:00:00+01:00", "invalid-parameter"),
    "a day that is not there": ("since=2026-02-30", "invalid-parameter"),
    "a long time": ("since=" + "T" * 7_900 + "+01:00", "invalid-parameter"),
    "a second that is not there": ("since=2026-01-31T12:00:60Z", "invalid-parameter"),
    "a year that is not there": ("since=0000-01-01", "invalid-parameter"),
    "before all time": ("since=0001-01-01T00:00:00%2B14:00", "invalid-parameter"),
    "after all time": ("until=9999-12-31T23:59:59-14:00", "invalid-parameter"),
    "a number for a time": ("since=1769860800", "invalid-parameter"),
    "infinity for a time": ("since=infinity", "invalid-parameter"),
    "a status that is not there": ("status=complete,failed", "invalid-parameter"),
    "no status": ("status=,", "invalid-parameter"),
    "half a truth": ("acknowledged=1", "invalid-parameter"),
    "an unknown site": ("site=xx", "invalid-parameter"),
    "an empty cursor": ("cursor=", "invalid-parameter"),
    "a cursor that is none": ("cursor=../../etc/passwd", "invalid-parameter"),
}


@pytest.mark.parametrize("case", QUERIES)
def test_a_query_that_cannot_be_is_refused(victim: Victim, case: str) -> None:
    query, kind = QUERIES[case]
    answer = victim.ask(f"/completions?{query}")
    assert victim.refuses(answer) == kind
    assert "set-cookie" not in answer.headers


def test_of_a_long_time_nobody_looks_for_what_is_in_it(victim: Victim) -> None:
    [error] = json.loads(victim.ask(f"/completions?since={'T' * 7_900}+01:00").body)["errors"]
    assert error["detail"].startswith("It is no time: ")


def test_of_very_many_mistakes_the_first_are_told_and_how_many_there_are(victim: Victim) -> None:
    names = [f"{number:03x}" for number in range(1990)]
    answer = victim.ask("/completions?" + "&".join(names))
    assert victim.refuses(answer) == "invalid-parameter"
    told = json.loads(answer.body)
    assert [each["parameter"] for each in told["errors"]] == names[:20]
    assert told["detail"].endswith(" These are the first 20 of 1990 mistakes.")
    assert names[20] + ":" not in told["detail"]
    few = json.loads(victim.ask("/completions?" + "&".join(names[:20])).body)
    assert few["errors"] == told["errors"]
    assert "mistakes" not in few["detail"]


def test_a_cursor_that_was_changed_is_refused_wherever_it_was(victim: Victim) -> None:
    good = json.loads(victim.ask("/completions?limit=1&status=complete&since=1970-01-01").body)["cursor"]
    assert victim.ask(f"/completions?cursor={good}").status == 200
    for place, character in enumerate(good):
        for other in {"A", "_", chr(ord(character) ^ 1), chr(ord(character) + 1)} - {character}:
            bad = good[:place] + other + good[place + 1 :]
            assert victim.ask(f"/completions?cursor={_escaped(bad)}").status == 400, (place, other)
    for bad in (good[:-1], good[1:], good + "A", good + "=", good + good, good.swapcase(), good + "%0a"):
        assert victim.refuses(victim.ask(f"/completions?cursor={bad}")) == "invalid-parameter"


CURSORS: dict[str, str] = {
    "of another version": forged(version=2),
    "of no feed": forged(feed="api_token"),
    "of half a pair": forged(feed="\ud800"),
    "with a list for a feed": forged(feed=["completions"]),
    "with something more": forged(more=1),
    **{
        f"{what} {where}": forged(**{name: value})
        for name, where in (("after", "for a position"), ("at", "for a time"))
        for what, value in (
            ("a negative number", -1),
            ("65 bits", 2**63),
            ("a text", "1"),
            ("a fraction", 1.0),
            ("the truth", True),
            ("infinity", float("inf")),
            ("nothing", None),
            ("a list", [1]),
        )
    },
    "beyond all digits": forged(text=f'[1,"completions",{"9" * 5000},1,{{}}]'),
    "with an unknown parameter": forged(asked={"x": "1"}),
    "with an unknown parameter that is half a pair": forged(asked={"\ud800": "1"}),
    "with half a pair": forged(asked={"username": "\ud800"}),
    "with NUL": forged(asked={"username": "\0"}),
    "with a number": forged(asked={"userid": 3}),
    "with none": forged(asked={"username": None}),
    "with a list": forged(asked={"status": [["complete"]]}),
    "with SQL": forged(asked={"since": "'; SELECT pg_sleep(60)--"}),
    "with a list for the parameters": forged(asked=["username"]),
    "that is a number": forged(text="1"),
    "that is a text": forged(text='"abcde"'),
    "that is nothing": forged(text="null"),
    "that is an object": forged(text='{"a":1,"b":2,"c":3,"d":4,"e":5}'),
    "that is deep": forged(text="[" * 3000),
    "that is no JSON": forged(text="{"),
}


def test_a_cursor_that_was_made_up_as_a_good_one_is_taken(victim: Victim) -> None:
    """Or that others are refused would show nothing."""
    assert victim.ask(f"/completions?cursor={forged()}").status == 200
    assert victim.ask(f"/completions?cursor={forged(asked={'username': 'ann'})}").status == 200


@pytest.mark.parametrize("case", CURSORS)
def test_a_cursor_that_was_made_up_is_refused(victim: Victim, case: str) -> None:
    assert victim.refuses(victim.ask(f"/completions?cursor={CURSORS[case]}")) == "invalid-parameter"


def test_a_cursor_is_good_for_its_feed_alone_and_never_ahead(victim: Victim) -> None:
    for path in FEEDS:
        for other in FEEDS:
            answer = victim.ask(f"{path}?cursor={victim.cursor(other)}")
            assert answer.status == 200 if path == other else victim.refuses(answer, path) == "invalid-parameter"
        ahead = victim.ask(f"{path}?cursor={forged(feed=path[1:], after=2**63 - 1)}")
        assert victim.refuses(ahead, path) == "cursor-ahead"
    beside = victim.ask(f"/completions?cursor={victim.cursor()}&status=complete")
    assert victim.refuses(beside) == "invalid-parameter"


#: Bodies, and the kind of what they get.
BODIES: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "invalid-body"),
    "an empty list": (b"[]", "invalid-body"),
    "an object": (b'{"id":"sbx-3-20","status":"received"}', "invalid-body"),
    "a text": (b'"sbx-3-20"', "invalid-body"),
    "null": (b"null", "invalid-body"),
    "no JSON": (b"[{", "invalid-body"),
    "two documents": (b"[1] [2]", "invalid-body"),
    "lines": (b'{"id":"sbx-3-20"}\n{"id":"sbx-3-21"}\n', "invalid-body"),
    "XML": (b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>', "invalid-body"),
    "a hundred thousand brackets": (b"[" * 100_000, "invalid-body"),
    "a hundred thousand lists": (b"[" * 100_000 + b"]" * 100_000, "invalid-body"),
    "a hundred thousand objects": (b'[{"id":' * 100_000, "invalid-body"),
    "a byte order mark": (b"\xef\xbb\xbf[1]", "invalid-body"),
    "UTF-16": ("[1]".encode("utf-16"), "invalid-body"),
    "no UTF-8": (b'[{"id":"\xff"}]', "invalid-body"),
    "Latin-1": ('[{"message":"é"}]'.encode("latin-1"), "invalid-body"),
    "half a pair": (b'[{"id":"\xed\xa0\x80"}]', "invalid-body"),
    "a key twice": (b'[{"id":"sbx-3-20","id":"sbx-3-21","status":"received"}]', "invalid-body"),
    "not a number": (b'[{"version":NaN}]', "invalid-body"),
    "infinity": (b'[{"version":-Infinity}]', "invalid-body"),
    "NUL": (b"[1]\0", "invalid-body"),
    "a comment": (b"[1] // one", "invalid-body"),
    "too many": (b"[" + b",".join([b'{"id":"sbx-3-20"}'] * 100_000) + b"]", "too-many-acknowledgements"),
    "too much": (b"[" + b" " * LONGEST_BODY + b"]", "body-too-large"),
}  # fmt: skip


@pytest.mark.parametrize("case", BODIES)
def test_a_body_that_cannot_be_is_refused(victim: Victim, case: str) -> None:
    body, kind = BODIES[case]
    assert victim.refuses(victim.post(body), "/acknowledgements", "POST") == kind


#: What is wrong with one acknowledgement is said of it, and keeps no other back.
ONES: tuple[bytes, ...] = (
    b"1",
    b"null",
    b"[]",
    b"{}",
    b'{"id":null,"status":"received"}',
    b'{"id":1,"status":"received"}',
    b'{"id":["sbx-3-20"],"status":"received"}',
    b'{"id":"sbx-3-20"}',
    b'{"id":"sbx-3-20","status":"deleted"}',
    b'{"id":"sbx-3-20","status":["received"]}',
    b'{"id":"sbx-3-20","status":"received","caller":"other"}',
    b'{"id":"sbx-3-20","status":"received","version":1e999}',
    b'{"id":"sbx-3-20","status":"received","version":-1e999}',
    b'{"id":"sbx-3-20","status":"received","version":0}',
    b'{"id":"sbx-3-20","status":"received","version":-1}',
    b'{"id":"sbx-3-20","status":"received","version":1.5}',
    b'{"id":"sbx-3-20","status":"received","version":true}',
    b'{"id":"sbx-3-20","status":"received","version":"1"}',
    b'{"id":"sbx-3-20","status":"received","version":9223372036854775807}',
    b'{"id":"sbx-3-20","status":"received","version":9223372036854775808}',
    b'{"id":"sbx-3-20","status":"received","version":' + b"9" * 10_000 + b"}",
    b'{"id":"sbx-3-20","status":"received","reference":"\\u0000"}',
    b'{"id":"sbx-3-20","status":"received","reference":"\\ud800"}',
    b'{"id":"sbx-3-20","status":"received","message":"\\udc00\\ud800"}',
    b'{"id":"sbx-3-20","status":"received","reference":"' + b"a" * 201 + b'"}',
    b'{"id":"sbx-3-20","status":"received","message":"' + b"a" * 1001 + b'"}',
    b'{"id":"sbx-3-20","status":"received","message":{"a":1}}',
    b'{"id":"sbx-3-20","status":"received","\\ud800":1}',
    b'{"id":"\\ud800","status":"received"}',
    b'{"id":"sbx-3-20\\u0000","status":"received"}',
    b'{"id":"sbx-3-20\\n","status":"received"}',
    b'{"id":"sbx-3-20\\r\\nSet-Cookie: a=b","status":"received"}',
    b'{"id":"sbx-3-99999999999999999999","status":"received"}',
    b'{"id":"sbx-03-20","status":"received"}',
    '{"id":"sbx-٣-20","status":"received"}'.encode(),
    b'{"id":"sbx-3-20\'; DROP TABLE bridge.completion--","status":"received"}',
    b'{"id":"' + b"a" * 100_000 + b'","status":"received"}',
)


def test_an_acknowledgement_that_cannot_be_is_told_and_keeps_no_other_back(victim: Victim) -> None:
    known = json.loads(victim.ask("/completions?limit=1&since=1970-01-01").body)["items"][0]["id"].encode()
    good = b'{"id":"' + known + b'","status":"received"}'
    ones = [each.replace(b"sbx-3-20", known) for each in ONES]
    for body in (b"[" + b",".join([*ones, good]) + b"]", *(b"[" + each + b"," + good + b"]" for each in ones)):
        answer = victim.post(body)
        victim.documented.judge("POST", "/acknowledgements", answer.status, answer.headers, answer.body)
        assert answer.status == 200
        *told, last = json.loads(answer.body)["results"]
        assert [each["result"] for each in told] == ["invalid"] * len(told), (body[:200], told)
        assert all(each["detail"] for each in told)
        assert last["result"] in ("recorded", "unchanged")
    victim.is_well()


@pytest.mark.parametrize(
    "declared",
    [
        "Content-Type: text/plain",
        "Content-Type: application/x-www-form-urlencoded",
        "Content-Type: multipart/form-data; boundary=a",
        "Content-Type: application/json; charset=utf-16",
        "Content-Type: application/jsonp",
        "Content-Type:",
        "X-No-Type: 1",
    ],
)
def test_a_body_that_is_not_declared_as_json_is_refused(victim: Victim, declared: str) -> None:
    body = b'[{"id":"sbx-3-20","status":"received"}]'
    with victim.open() as connection:
        head = victim.head("POST", "/acknowledgements", declared, f"Content-Length: {len(body)}")
        connection.sendall(head + body)
        answer = answered(connection)
    assert victim.refuses(answer, "/acknowledgements", "POST") == "unsupported-media-type"


_JSON = "Content-Type: application/json"


def test_a_body_that_comes_too_slowly_is_refused(hasty: Victim) -> None:
    with hasty.open() as connection:
        connection.sendall(hasty.head("POST", "/acknowledgements", _JSON, "Content-Length: 100") + b"[")
        answer = answered(connection)
        assert connection.recv(1) == b""  # it is closed: what still comes is not a request
    assert hasty.refuses(answer, "/acknowledgements", "POST") == "body-too-slow"


def test_a_body_that_is_cut_off_harms_nobody(victim: Victim) -> None:
    for _ in range(20):
        with victim.open() as connection:
            connection.sendall(victim.head("POST", "/acknowledgements", _JSON, "Content-Length: 100") + b"[")
    with victim.open() as connection:
        connection.sendall(victim.head("POST", "/acknowledgements", _JSON, "Content-Length: 100") + b"[")
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(100_000) == b""  # there is nobody left to be told
    victim.is_well()


def test_a_body_without_end_is_refused_once_it_is_too_much(victim: Victim) -> None:
    with victim.open() as connection:
        connection.sendall(victim.head("POST", "/acknowledgements", _JSON, "Transfer-Encoding: chunked"))
        piece, sent = b"10000\r\n" + b"[" * 65536 + b"\r\n", 0
        while sent <= LONGEST_BODY:
            connection.sendall(piece)
            sent += 65536
        answer = answered(connection)
    assert victim.refuses(answer, "/acknowledgements", "POST") == "body-too-large"


def test_chunks_without_end_that_come_too_slowly_are_refused(hasty: Victim) -> None:
    with hasty.open() as connection:
        connection.sendall(hasty.head("POST", "/acknowledgements", _JSON, "Transfer-Encoding: chunked") + b"1\r\n[\r\n")
        assert hasty.refuses(answered(connection), "/acknowledgements", "POST") == "body-too-slow"


def test_no_body_is_read_of_who_has_no_token(victim: Victim) -> None:
    stranger = Victim(victim.address, "tbk_" + "0" * 36)
    with stranger.open() as connection:
        connection.sendall(stranger.head("POST", "/acknowledgements", _JSON, "Content-Length: 1000000000"))
        answer = answered(connection)
    victim.documented.judge("POST", "/acknowledgements", answer.status, answer.headers, answer.body)
    assert answer.status == 401
    victim.is_well()


#: Where nothing is, whatever a server makes of the address.
NOWHERE = (
    "/completions/",
    "/completions/../status/../../../../etc/passwd",
    "/completions/..%2F..%2F..%2Fetc%2Fpasswd",
    "/completions/%2e%2e/%2e%2e/etc/passwd",
    "/completions//etc/passwd",
    "//completions",
    "/completions;a=b",
    "/COMPLETIONS",
    "/completions/sbx-3-20/",
    "/status/.git/config",
    "/docs",
    "/redoc",
    "/openapi.yaml",
    "/" + "a" * 60_000,
    "/" + "a/" * 30_000,
)

#: What no completion is called.
NOBODY = (
    "..",
    "%2e%2e",
    "%00",
    "sbx-3-20%00",
    "sbx-3-20%0d%0aSet-Cookie:%20a=b",
    "sbx-3-20%0a",
    "%ED%A0%80",
    "%FF",
    "%zz",
    "sbx-3-20'--",
    "sbx-3-99999999999999999999",
    "sbx-9223372036854775808-1",
    "sbx--3-20",
    "sbx-3",
    "sbx-%D9%A3-20",
    "SBX-3-20",
    "null",
    "a" * 60_000,
)


@pytest.mark.parametrize("target", NOWHERE, ids=lambda target: target[:40])
def test_there_is_nothing_where_nothing_is(victim: Victim, target: str) -> None:
    answer = victim.ask(target)
    assert answer.status == 404
    victim.documented.must_be("Problem", json.loads(answer.body))
    assert answer.headers["content-type"] == "application/problem+json"
    assert b"root:" not in answer.body
    victim.is_well()


@pytest.mark.parametrize("name", NOBODY, ids=lambda name: name[:40])
def test_nobody_is_called_so(victim: Victim, name: str) -> None:
    answer = victim.ask(f"/completions/{name}")
    assert victim.refuses(answer, "/completions/{id}") == "not-found"
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"])
def test_another_method_is_refused_and_told_which_is_possible(victim: Victim, method: str) -> None:
    for _, path, operation in victim.documented.operations():
        answer = victim.ask(path.replace("{id}", "sbx-3-20"), method=method)
        assert (answer.status, json.loads(answer.body)["type"].rpartition(":")[2]) == (405, "method-not-allowed")
        victim.documented.must_be("Problem", json.loads(answer.body))
        assert {each.strip() for each in answer.headers["allow"].split(",")} == (
            {"POST"} if operation["operationId"] == "acknowledge" else {"GET", "HEAD"}
        )
    victim.is_well()


def test_head_is_answered_without_a_body(victim: Victim) -> None:
    for accept in ("application/json", "application/x-ndjson", "text/csv"):
        head = victim.ask("/completions", f"Accept: {accept}", method="HEAD")
        assert (head.status, head.body) == (200, b"")
        assert head.headers["content-type"].startswith(accept)
        assert head.headers["link"]
    assert victim.ask("/acknowledgements", method="HEAD").status == 405
    assert victim.ask("/completions?limit=0", method="HEAD").status == 400
    victim.is_well()


HEADERS = {
    "part of it": ("Range: bytes=0-0",),
    "parts of it": ("Range: bytes=" + ",".join(f"{each}-" for each in range(1000)),),
    "if it was not changed": ("If-None-Match: *", "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT"),
    "somewhere else": ("X-Forwarded-Prefix: /evil", "X-Forwarded-Host: evil.example", "X-Original-URL: /status"),
    "another method": ("X-HTTP-Method-Override: DELETE",),
    "later": ("Expect: 100-continue",),
    "upgraded": ("Connection: Upgrade", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"),
    "compressed in a way that is not there": ("Accept-Encoding: zstd;q=1, *;q=0",),
    "in many languages": ("Accept-Language: " + ",".join(["en;q=0.1"] * 1000),),
    "a cookie": ("Cookie: token=tbk_" + "0" * 36,),
}


@pytest.mark.parametrize("case", HEADERS)
def test_a_header_that_asks_for_something_else_changes_nothing(victim: Victim, case: str) -> None:
    plain = victim.ask("/completions?limit=3&since=1970-01-01")
    answer = victim.ask("/completions?limit=3&since=1970-01-01", *HEADERS[case])
    assert (answer.status, answer.body) == (200, plain.body)
    assert answer.headers["link"] == plain.headers["link"]
    victim.is_well()


@pytest.mark.parametrize(
    "accept",
    [
        "text/html",
        "image/*",
        "application/json;q=0",
        "*/*;q=0",
        "text/csv;q=nonsense",
        ",,,",
        "a/b," * 2000,
        "é",
    ],
)
def test_a_format_that_is_not_there_is_refused(victim: Victim, accept: str) -> None:
    assert victim.refuses(victim.ask("/completions", f"Accept: {accept}")) == "not-acceptable"


def test_an_expectation_of_a_body_is_met(victim: Victim) -> None:
    body = b'[{"id":"sbx-3-20","status":"received"}]'
    with victim.open() as connection:
        more = ("Expect: 100-continue", _JSON, f"Content-Length: {len(body)}")
        connection.sendall(victim.head("POST", "/acknowledgements", *more))
        assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert answered(connection).status == 200


def test_requests_that_come_at_once_are_answered_in_their_order(victim: Victim) -> None:
    body = b"[{]"
    requests = [
        victim.head("GET", "/completions?limit=1"),
        victim.head("POST", "/acknowledgements", _JSON, f"Content-Length: {len(body)}") + body,
        victim.head("GET", "/nowhere"),
        victim.head("GET", "/users?limit=1", "Connection: close"),
    ]
    with victim.open() as connection:
        connection.sendall(b"".join(requests))
        told = b"".join(iter(lambda: connection.recv(65536), b""))
    statuses = [each.split(b" ", 2)[1] for each in told.split(b"HTTP/1.1")[1:] for each in [b"HTTP/1.1" + each]]
    assert statuses == [b"200", b"400", b"404", b"200"]


def test_two_lengths_are_never_two_requests(victim: Victim) -> None:
    """Or a proxy in front would take one request's body for another caller's request."""
    hidden = victim.head("GET", "/status")
    lengths = ("Content-Length: 3", "Transfer-Encoding: chunked")
    with victim.open() as connection:
        connection.sendall(victim.head("POST", "/acknowledgements", _JSON, *lengths) + b"0\r\n\r\n" + hidden)
        told = b"".join(iter(lambda: connection.recv(65536), b""))
    assert told.count(b"HTTP/1.1 ") == 1
    assert 400 <= int(told.split(b" ", 2)[1]) < 500
    victim.is_well()


#: What the server cannot read as HTTP, or will not, so that it never comes to the Pull API.
UNREADABLE: dict[str, bytes] = {
    "a megabyte of query": b"GET {}/completions?username=" + b"a" * 1_000_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "no method": b" {}/completions HTTP/1.1\r\nHost: a\r\n\r\n",
    "another version": b"GET {}/completions HTTP/9.9\r\nHost: a\r\n\r\n",
    "a control character in a header": b"GET {}/completions HTTP/1.1\r\nAccept: \x0b\r\n\r\n",
    "NUL in a header": b"GET {}/completions HTTP/1.1\r\nX-Api-Key: a\0b\r\n\r\n",
    "a header that is none": b"GET {}/completions HTTP/1.1\r\nnonsense\r\n\r\n",
    "a blank in a header's name": b"GET {}/completions HTTP/1.1\r\nX-Api-Key : a\r\n\r\n",
    "a negative length": b"POST {}/acknowledgements HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    "two lengths": b"POST {}/acknowledgements HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n[]",
    "a length that is none": b"POST {}/acknowledgements HTTP/1.1\r\nContent-Length: 1e3\r\n\r\n",
    "a length beyond 64 bits": b"POST {}/acknowledgements HTTP/1.1\r\nContent-Length: " + b"9" * 30 + b"\r\n\r\n",
    "bytes in an address": b"GET {}/completions/\xed\xa0\x80 HTTP/1.1\r\nHost: a\r\n\r\n",
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_what_is_no_http_is_refused_by_the_server_and_harms_nobody(victim: Victim, case: str) -> None:
    told = b""
    with victim.open() as connection, suppress(ConnectionError):  # it may be closed while it is written
        connection.sendall(UNREADABLE[case].replace(b"{}", PREFIX.encode()))
        connection.shutdown(socket.SHUT_WR)
        told = b"".join(iter(lambda: connection.recv(65536), b""))
    assert told == b"" or (told.startswith(b"HTTP/1.1 400 ") and told.endswith(b"Invalid HTTP request received."))
    victim.is_well()
