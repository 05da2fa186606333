"""How large a request may be, how it is compressed, and what the happy path costs."""

import gzip
import hashlib
import socket
import threading
import tracemalloc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import event, text

from tests.bridge import ALL, Bridge, access_to
from totara_bridge.oracle import sender as oracle_sender
from totara_bridge.oracle.payload import body
from totara_bridge.oracle.sender import Sender
from totara_bridge.oracle.token import TokenHolder
from totara_bridge.oracle.verdict import Outcome
from totara_bridge.push.packing import Packing
from totara_bridge.sandbox.loopback import listen
from totara_bridge.sandbox.oracle.server import SandboxOracle
from totara_bridge.settings import Settings

pytestmark = pytest.mark.staging("has_read")

SMALL = Settings(request_bytes=10_000, batch_size=200)


@pytest.fixture
def five(bridge: Bridge) -> Bridge:
    """A bridge with five items in its queue."""
    bridge.queue_new(5)
    return bridge


def payloads(bridge: Bridge) -> list[str]:
    return [row["payload"] for row in bridge.rows("SELECT payload FROM bridge.export_queue ORDER BY id")]


def lengthen(bridge: Bridge, *, to: int) -> int:
    """Make one item so long that a request with it alone has exactly that many bytes; its number."""
    [row] = bridge.rows("SELECT id, payload FROM bridge.export_queue ORDER BY id LIMIT 1")
    more = to - len(body([row["payload"]])) - len('"x":"",')
    long = "ā" * (more // 2) + "x" * (more % 2)  # bytes count, not characters
    with bridge.staging.begin() as transaction:
        transaction.execute(
            text("UPDATE bridge.export_queue SET payload = :payload WHERE id = :id"),
            {"payload": f'{{"x":"{long}",{row["payload"][1:]}', "id": row["id"]},
        )
    return int(row["id"])


# bytes


def test_no_request_is_longer_than_allowed_and_none_is_needlessly_short(queued: Bridge, oracle: SandboxOracle) -> None:
    drained = queued.push(oracle, settings=SMALL)
    assert drained.sent == ALL
    sizes = [request["bytes"] for request in oracle.requests(limit=1000)]
    assert max(sizes) <= SMALL.request_bytes
    longest = max(len(each.encode()) for each in payloads(queued))
    short = [size for size in sizes if size + longest < SMALL.request_bytes]
    assert len(short) <= ALL // SMALL.batch_size + SMALL.requests_in_flight, "only the last request of a claim is"


@given(
    sizes=st.lists(st.integers(2, 120), max_size=30),
    alone=st.sets(st.integers(0, 29)),
    limit=st.integers(60, 200),
    items=st.sampled_from(["items", "ā"]),
)
def test_packing_is_greedy_exact_and_loses_nothing(sizes: list[int], alone: set[int], limit: int, items: str) -> None:
    def item(number: int, size: int) -> Any:
        return SimpleNamespace(id=number, payload="x" * size, failures=3 if number in alone else 0)

    rows = [item(number, size) for number, size in enumerate(sizes)]
    packing = Packing(request_bytes=limit, items=items)
    packed = list(packing.requests(rows))
    left_out = packing.too_large(rows)

    def length(request: Sequence[Any]) -> int:
        return len(body([each.payload for each in request], items))

    assert sorted(each.id for request in (*packed, left_out) for each in request) == [each.id for each in rows]
    assert all(length(request) <= limit for request in packed)
    assert all(length([each]) > limit for each in left_out)
    together = [request for request in packed if request[0].failures == 0]
    assert all(length([*one, next_one[0]]) > limit for one, next_one in pairwise(together)), (
        "another item would have fitted"
    )
    assert [each.id for request in together for each in request] == sorted(
        each.id for request in together for each in request
    )


def test_an_item_that_is_too_large_alone_is_dead_unposted_and_disturbs_no_other(
    five: Bridge, oracle: SandboxOracle
) -> None:
    large = lengthen(five, to=SMALL.request_bytes + 1)
    drained = five.push(oracle, settings=SMALL)
    assert drained.counts() == {"sent": 4, "failed": 0, "dead": 1, "released": 0, "requests": 1}
    [row] = five.rows("SELECT * FROM bridge.export_queue WHERE id = :id", id=large)
    assert (row["state"], row["error_class"], row["attempts"]) == ("dead", "too_large", 0)
    assert "takes 10001 bytes" in row["error_words"]
    assert "the 10000 that the setting request_bytes allows" in row["error_words"]
    assert row["first_posted_at"] is None, "an edit may still make it shorter"
    assert row["idempotency_key"] not in oracle.times_received()
    others = five.rows("SELECT DISTINCT attempts, failures FROM bridge.export_queue WHERE state = 'sent'")
    assert [tuple(other.values()) for other in others] == [(0, 0)]
    [traced] = five.rows("SELECT verb, words, export_log_id FROM bridge.item_event WHERE item_id = :id", id=large)
    assert traced == {"verb": "reject", "words": row["error_words"], "export_log_id": None}


def test_an_item_as_large_as_allowed_is_sent(five: Bridge, oracle: SandboxOracle) -> None:
    lengthen(five, to=SMALL.request_bytes)
    assert five.push(oracle, settings=SMALL).sent == 5
    assert max(request["bytes"] for request in oracle.requests()) == SMALL.request_bytes


# gzip


def test_a_large_request_is_compressed_under_the_key_of_its_plain_body(queued: Bridge, oracle: SandboxOracle) -> None:
    assert queued.push(oracle, gzip=True, settings=Settings(batch_size=100, requests_in_flight=1)).sent == ALL
    first = oracle.requests(limit=1000)[-1]
    by_key = {row["idempotency_key"]: row["payload"] for row in queued.rows("SELECT * FROM bridge.export_queue")}
    plain = body([by_key[key] for key in first["keys"]])
    assert first["bytes"] < len(plain) / 2
    assert first["idempotency_key"] == hashlib.sha256(plain).hexdigest()
    assert oracle.received()["keys_stored"] == ALL
    assert oracle.received()["conflicts"] == 0


def test_a_small_request_is_sent_plain(bridge: Bridge, oracle: SandboxOracle) -> None:
    bridge.queue_new(1)
    assert bridge.push(oracle, gzip=True).sent == 1
    assert [request["bytes"] for request in oracle.requests()] == [len(body(payloads(bridge)))]


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """A server that answers its one request with these bytes; its address."""

    def serve(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection, suppress(ConnectionResetError):  # what is not read of the answer resets the connection
            connection.recv(1 << 16)
            connection.sendall(answer)
            while connection.recv(1 << 16):
                pass

    with listen() as listening:
        listening.listen()
        thread = threading.Thread(target=serve, args=(listening,))
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    thread.join()


def test_a_small_answer_that_unpacks_to_a_huge_one_is_cut_before_it_takes_memory(oracle: SandboxOracle) -> None:
    longest = oracle_sender._LONGEST_ANSWER
    bomb = gzip.compress(b"[" * (16 * longest))
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n".encode()
    with answering(head + bomb) as url:
        access = access_to(oracle, base_url=url)
        with Sender(access, TokenHolder(access)) as sender:
            tracemalloc.start()
            try:
                reading = sender.send(["K1"], ["{}"])
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
    assert (reading.outcome, reading.verdicts["K1"].outcome) == ("not_json", Outcome.FAILED)
    assert peak < 8 * longest, "it was unpacked whole"


# what the happy path costs


def test_a_batch_that_goes_well_costs_three_statements(queued: Bridge, oracle: SandboxOracle) -> None:
    statements: list[str] = []

    def note(_: object, __: object, statement: str, *___: object) -> None:
        statements.append(" ".join(statement.split())[:40])

    def cost_of(batches: int) -> tuple[int, int]:
        """How many requests and how many statements so many batches were, or more: a look may cut one in two."""
        statements.clear()
        with queued.staging.begin() as transaction:
            transaction.execute(
                text("UPDATE bridge.export_queue SET next_attempt_at = :now WHERE id IN (SELECT id FROM "
                     "bridge.export_queue WHERE state = 'queued' ORDER BY id LIMIT :items)"),
                {"now": queued.now, "items": 20 * batches},
            )  # fmt: skip
        statements.clear()
        requests = queued.push(oracle, settings=Settings(batch_size=20, requests_in_flight=1)).requests
        assert requests in (batches, batches + 1)
        looks = 3  # at most once a second, and not for each batch: the destination's rest, and the switches
        looked = sum("SELECT bridge.setting" in statement for statement in statements)
        assert looked % 2 == 0
        return requests, len(statements) - looks * looked // 2

    with queued.staging.begin() as transaction:
        transaction.execute(text("UPDATE bridge.export_queue SET next_attempt_at = 'infinity'"))
    event.listen(queued.staging, "before_cursor_execute", note)
    (many, dear), (few, cheap) = cost_of(9), cost_of(4)
    assert dear - cheap == 3 * (many - few), statements
