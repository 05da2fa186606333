"""What a hostile Oracle or Totara answers needs little memory, ends in one sentence, and gives a terminal no order."""

import gzip
import json
import logging
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import quote

import pytest

from tests.security.answering import answer, server
from totara_bridge.errors import BridgeError, OracleRefused, OracleUnavailable, TotaraRefused, TotaraUnavailable
from totara_bridge.oracle.access import OracleAccess
from totara_bridge.oracle.check import check as check_oracle
from totara_bridge.oracle.conformance.probe import NotSeen, Probe, Sample
from totara_bridge.oracle.sender import Sender
from totara_bridge.oracle.token import TokenHolder
from totara_bridge.printable import visible
from totara_bridge.totara.connection import TotaraConnection
from totara_bridge.totara.graphql.client import GraphqlClient
from totara_bridge.totara.graphql.token import TokenHolder as TotaraTokens
from totara_bridge.totara.http import TotaraHttp
from totara_bridge.totara.source import SourceKind
from totara_bridge.totara.web_services.client import WebServices

SECRET = "s3cr3tYw5/Zq7+w9=kJu3"
GIVEN = "t0kenRd2f/Hv4+x8=pMn6"

#: A line of its own, an order to clear the screen, one to set the window's title, and what turns a line around.
EVIL = "a\r\n2026-01-01 INFO all is well\x1b[2J\x1b]0;owned\x07\x9b31m\u202eb\u061cb\u2028c\x00"

#: What no line may have of it.
ORDERS = frozenset(
    "\0\a\n\r\x1b\x7f\x9b\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)

TOKEN = b'{"access_token":"%s","token_type":"Bearer","expires_in":3600}' % GIVEN.encode()


def oracle_at(url: str, **changes: str) -> OracleAccess:
    usual = {"base_url": url, "token_url": f"{url}/token", "client_id": "client", "client_secret": SECRET}
    return OracleAccess(**usual | changes)  # type: ignore[arg-type]


def totara_at(url: str) -> TotaraConnection:
    return TotaraConnection(
        source=SourceKind.WEB_SERVICES, server_url=url, api_token=SECRET, api_client="client", api_secret=SECRET
    )


def is_harmless(text: str) -> None:
    """It is one line, nothing in it orders a terminal, and it has no four letters of a secret."""
    assert not ORDERS & set(text)
    for secret in (SECRET, GIVEN):
        assert not [part for part in map("".join, zip(*(secret[at:] for at in range(4)), strict=False)) if part in text]


SAID = json.dumps({"error": {"code": EVIL, "message": EVIL}}).encode()
PAGE = f"<html><title>{EVIL}</title></html>".encode()
#: A header may have no line break; all else gets through Python's reader of heads.
HEADER = EVIL.replace("\r\n", " ").replace("\x00", "").encode("latin-1", "ignore")

OF_ORACLE = {
    "words": answer(SAID, b"Content-Type: application/json", status=b"403 Forbidden"),
    "a page": answer(PAGE, b"Content-Type: text/html", status=b"502 Bad Gateway"),
    "text": answer(EVIL.encode(), status=b"400 Bad Request"),
    "a redirect": answer(b"", b"Location: https://elsewhere.example/" + HEADER, status=b"302 Found"),
    "a reason": answer(b"", status=b"418 " + HEADER),
    "a request id": answer(b"", b"opc-request-id: " + HEADER),
    "results": answer(json.dumps({"results": [{"idempotencyKey": "k", "status": EVIL, "reference": EVIL}]}).encode()),
    "a number without end": answer(b'{"results":' + b"9" * 5_000 + b"}"),
    "lists in lists": answer(b"[" * 500_000),
}


@pytest.mark.parametrize("case", OF_ORACLE)
def test_what_oracle_answers_is_one_harmless_line(case: str) -> None:
    with server({b"/token": answer(TOKEN), b"/": OF_ORACLE[case]}) as url:
        with Sender(oracle_at(url), TokenHolder(oracle_at(url))) as sender:
            reading = sender.send(["k"], ['{"idempotencyKey":"k"}'])
        said = [reading.problem, reading.words, reading.request_id]
        for verdict in reading.verdicts.values():
            said += [verdict.words, verdict.code, verdict.reference]
        for each in filter(None, said):
            is_harmless(each)
        try:
            is_harmless(check_oracle(oracle_at(url)))
        except BridgeError as error:
            is_harmless(str(error))


TOKENS = {
    "that lives for ever": b'{"access_token":"t","token_type":"Bearer","expires_in":1e999}',
    "that lives longer than a number can say": b'{"access_token":"t","token_type":"Bearer","expires_in":%s}'
    % (b"9" * 400),
    "that is nobody's number": b'{"access_token":"t","token_type":"Bearer","expires_in":NaN}',
    "with a line break": b'{"access_token":"t\\r\\nX-Evil: 1","token_type":"Bearer"}',
    "of another script": '{"access_token":"t–ö","token_type":"Bearer"}'.encode(),
    "that is a list": b'{"access_token":["t"],"token_type":"Bearer"}',
    "in too many brackets": b"[" * 100_000,
    "with a scope that gives orders": json.dumps({"access_token": "t", "scope": EVIL}).encode(),
    "with a scope that is no text": b'{"access_token":"t","scope":{"a":["b"]}}',
    "with an error that gives orders": json.dumps({"error": EVIL, "error_description": EVIL}).encode(),
}


@pytest.mark.parametrize("case", TOKENS)
def test_a_token_that_cannot_be_is_no_token_or_a_harmless_one(case: str, caplog: pytest.LogCaptureFixture) -> None:
    with server({b"/totara/oauth2": answer(TOKENS[case]), b"/token": answer(TOKENS[case]), b"/": answer(b"")}) as url:
        access = oracle_at(url, scope="read")
        totara = totara_at(url)
        asks: list[Callable[[], object]] = [
            lambda: TokenHolder(access).current(),
            lambda: check_oracle(access),
            lambda: TotaraTokens(totara).current(),
        ]
        with caplog.at_level(logging.DEBUG, "totara_bridge"):
            for ask in asks:
                try:
                    is_harmless(str(ask()))
                except BridgeError as error:
                    is_harmless(str(error))
    for record in caplog.records:
        if record.name.startswith("totara_bridge"):
            is_harmless(record.getMessage())


OF_TOTARA = {
    "a redirect": answer(b"", b"Location: https://elsewhere.example/" + HEADER, status=b"302 Found"),
    "a redirect to nowhere": answer(b"", b"Location: http://[" + HEADER, status=b"302 Found"),
    "a type": answer(b"no", b"Content-Type: " + HEADER),
    "a page": answer(PAGE, b"Content-Type: text/html"),
    "words": answer(json.dumps({"errors": [{"message": EVIL, "debugMessage": EVIL}]}).encode()),
    "lists in lists": answer(b"[" * 500_000),
}


@pytest.mark.parametrize("case", OF_TOTARA)
def test_what_totara_answers_is_one_harmless_line(case: str) -> None:
    with (
        server({b"/totara/oauth2": answer(TOKEN), b"/": OF_TOTARA[case]}) as url,
        GraphqlClient(totara_at(url)) as api,
        pytest.raises(BridgeError) as raised,
    ):
        api.query("{ a }", {}, field="a")
    is_harmless(str(raised.value))


#: How a server may write what it repeats.
WRITINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "in JSON of PHP": lambda secret: secret.replace("/", "\\/"),
    "in an address": lambda secret: quote(secret, safe=""),
    "in HTML": lambda secret: secret.replace("/", "&#47;").replace("+", "&plus;"),
    "as a header": lambda secret: f"Authorization: Bearer {quote(secret, safe='')}",
    "where Oracle's words are cut": lambda secret: "." * 490 + secret,
    "where Totara's are": lambda secret: "." * 290 + secret,
}


def told(ask: Callable[[], object]) -> str:
    """What whoever asks is told, also where it is refused."""
    try:
        return str(ask())
    except BridgeError as error:
        return str(error)


@pytest.mark.parametrize("write", WRITINGS.values(), ids=WRITINGS)
def test_a_token_that_oracle_repeats_is_told_nobody(write: Callable[[str], str]) -> None:
    said = write(GIVEN).encode()
    error = b'{"code":"%s","message":"%s"}' % (said, said)
    for repeated in (
        answer(b'{"error":%s}' % error, status=b"403 Forbidden"),
        answer(b'{"error":"invalid_token","error_description":"%s"}' % said, status=b"401 Unauthorized"),
        answer(b'{"results":[{"idempotencyKey":"k","status":"rejected","error":%s}]}' % error),
        answer(b'{"results":[{"idempotencyKey":"k","status":"stored","reference":"%s"}]}' % said),
        answer(b"<html><title>%s</title></html>" % said, b"Content-Type: text/html", status=b"502 Bad Gateway"),
        answer(said, status=b"400 Bad Request"),
        answer(b"", b"Location: https://elsewhere.example/" + said, status=b"302 Found"),
        answer(b"", b"opc-request-id: " + said),
    ):
        with server({b"/token": answer(TOKEN), b"/": repeated}) as url:
            access = oracle_at(url)
            with Sender(access, TokenHolder(access)) as sender:
                reading = sender.send(["k"], ['{"idempotencyKey":"k"}'])
            with Probe(access, Sample(), full_batch=1, gzip=False) as probe:
                with suppress(NotSeen):
                    probe.send_text(b"{}")
                seen = str(probe.exchanges[-1])
            tested = told(lambda: check_oracle(access))  # noqa: B023  it is asked at once
            for each in (*reading.said, reading.answer or "", seen, tested):
                is_harmless(each)


@pytest.mark.parametrize("write", WRITINGS.values(), ids=WRITINGS)
def test_a_client_secret_that_is_repeated_is_told_nobody(
    write: Callable[[str], str], caplog: pytest.LogCaptureFixture
) -> None:
    said = write(SECRET).encode()
    for repeated in (
        answer(b'{"error":"invalid_client","error_description":"%s","hint":"%s"}' % (said, said), status=b"400 Bad"),
        answer(b'{"error":"%s"}' % said),
        answer(b'{"access_token":"t","token_type":"Bearer","expires_in":60,"scope":"%s"}' % said),
        answer(b"<html><title>%s</title></html>" % said, b"Content-Type: text/html"),
    ):
        answers = {b"/token": repeated, b"/totara/oauth2": repeated, b"/no": answer(b"", status=b"403 Forbidden")}
        with server(answers | {b"/": answer(b"")}) as url:
            for path in ("/no", "/completions"):
                access = oracle_at(url, scope="read", path=path)
                is_harmless(told(lambda: check_oracle(access)))  # noqa: B023  it is asked at once
            is_harmless(told(TokenHolder(access).current))
            is_harmless(told(TotaraTokens(totara_at(url)).current))
    for record in caplog.records:
        is_harmless(record.getMessage())


@pytest.mark.parametrize("write", WRITINGS.values(), ids=WRITINGS)
@pytest.mark.parametrize("secret", [SECRET, GIVEN])
def test_a_secret_that_totara_repeats_is_told_nobody(secret: str, write: Callable[[str], str]) -> None:
    said = write(secret).encode()
    for repeated in (
        answer(b'{"errors":[{"message":"%s","debugMessage":"%s"}]}' % (said, said)),
        answer(b'{"exception":"e","errorcode":"%s","message":"%s","debuginfo":"%s"}' % (said, said, said)),
        answer(b"<?xml?><RESPONSE><ERRORCODE>%s</ERRORCODE><MESSAGE>%s</MESSAGE></RESPONSE>" % (said, said)),
        answer(b"<html><title>%s</title></html>" % said, b"Content-Type: text/html"),
        answer(b"", b"Location: /" + said, status=b"302 Found"),
    ):
        with server({b"/totara/oauth2": answer(TOKEN), b"/": repeated}) as url:
            totara = totara_at(url)
            with GraphqlClient(totara) as api:
                is_harmless(told(lambda: api.query("{ a }", {}, field="a")))
            if secret == SECRET:
                with WebServices(totara) as services:
                    is_harmless(told(lambda: bool(services.call("core_some_function"))))


@pytest.mark.parametrize("token", ["t–x", "t\r\nX-Evil: 1", "t\nX-Evil: 1", "日本"])
def test_a_token_that_breaks_a_head_is_never_sent(token: str) -> None:
    words = "take spaces and line breaks out of the token"
    with (
        server({b"/": answer(b"{}")}) as url,
        TotaraHttp(totara_at(url)) as http,
        pytest.raises(TotaraRefused, match=words) as refused,
    ):
        http.get("/x", headers={"Authorization": f"Bearer {token}"})
    assert token not in str(refused.value)


@pytest.mark.parametrize("field", ["client_id", "client_secret"])
@pytest.mark.parametrize("authentication", ["basic", "body"])
def test_credentials_of_any_letters_stay_within_their_place(field: str, authentication: str) -> None:
    """They are encoded, in a header as Base64 and in a form by percent signs."""
    with server({b"/": answer(TOKEN)}) as url:
        odd = {field: "é–\r\nX-Evil: 1&grant_type=password", "client_authentication": authentication}
        if (field, authentication) == ("client_id", "basic"):
            odd[field] = odd[field].replace(":", "")  # Basic cannot carry one
        assert TokenHolder(oracle_at(url, **odd)).current() == GIVEN


def _zeros(encodings: int) -> bytes:
    """Of 256 MiB, packed that often."""
    packed = gzip.compress(bytes(1 << 28), compresslevel=9)
    return packed if encodings == 1 else gzip.compress(packed, compresslevel=9)


@pytest.fixture(scope="module")
def bombs() -> dict[bytes, bytes]:
    """Small answers that unpack to 256 MiB, by their encoding."""
    return {b"gzip": _zeros(1), b"gzip, gzip": _zeros(2)}


def test_an_answer_that_unpacks_to_very_much_is_not_unpacked_whole(bombs: dict[bytes, bytes]) -> None:
    for encoding, packed in bombs.items():
        bomb = answer(packed, b"Content-Encoding: " + encoding)
        with server({b"/token": answer(TOKEN), b"/": bomb}) as url:
            tokens = TokenHolder(oracle_at(url))
            tokens.current()
            tracemalloc.start()
            with Sender(oracle_at(url), tokens) as sender:
                reading = sender.send(["k"], ["{}"])
            with TotaraHttp(totara_at(url)) as http, pytest.raises((TotaraRefused, TotaraUnavailable)):
                http.get("/x")
            _, most = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        assert reading.outcome == "not_json"
        assert most < 1 << 28, encoding  # less than what is in it


def test_a_token_endpoints_answer_is_not_unpacked_whole_either(bombs: dict[bytes, bytes]) -> None:
    bomb = answer(bombs[b"gzip"], b"Content-Encoding: gzip")
    with server({b"/": bomb}) as url, pytest.raises(BridgeError, match="No access token"):
        TokenHolder(oracle_at(url)).current()


def test_every_sentence_is_one_line() -> None:
    for kind in (OracleRefused, OracleUnavailable, TotaraRefused, TotaraUnavailable):
        is_harmless(str(kind(f"It says {EVIL}: look there.")))


def test_a_terminal_is_shown_lines_and_no_orders() -> None:
    shown = visible(f"{EVIL}\n\tnext")
    assert shown.endswith("\n\tnext")
    assert not (ORDERS - {"\n"}) & set(shown)
    assert "\\u001b[2J" in shown
    assert "\\u202eb\\u061cb" in shown
