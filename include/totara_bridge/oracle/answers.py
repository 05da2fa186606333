"""The one table from an answer of Oracle's to a verdict for each item: `_TABLE`, and `_WORDS` for results per item.

docs/oracle-endpoint.md publishes it for whoever builds the Oracle side.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import requests

from totara_bridge.errors import CredentialsRefused, OracleRefused, OracleUnavailable
from totara_bridge.oracle.failures import failure_of
from totara_bridge.oracle.retry_after import seconds_of
from totara_bridge.oracle.verdict import Outcome, Reading, Verdict, same_for_all
from totara_bridge.oracle.words import Words, shorten, words_in, words_of

_REQUEST_ID = ("opc-request-id", "x-request-id", "x-oracle-dms-ecid")


@dataclass(frozen=True)
class _Answer:
    """An answer, and what it is about."""

    keys: Sequence[str]
    status: int
    headers: Mapping[str, str]  #: names in lower case
    body: bytes
    endpoint: str

    @property
    def results(self) -> list[Any] | None:
        """The results per item, if it is JSON that has any."""
        try:
            document = json.loads(self.body)
        except (ValueError, RecursionError):
            return None
        results = document.get("results") if isinstance(document, dict) else None
        return results if isinstance(results, list) else None

    @property
    def words(self) -> Words:
        """Oracle's own."""
        return words_of(self.body)


def read(
    keys: Sequence[str],
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    endpoint: str,
    now: datetime | None = None,
) -> Reading:
    """What an answer means for the items that were sent.

    :param endpoint: the address, for the sentence about a destination that does not work.
    :param now: for a ``Retry-After`` that is a date; none: the present.
    """
    lower = {name.lower(): value for name, value in headers.items()}
    row = next(rule for statuses, rule in _TABLE if status in statuses)
    reading = row(_Answer(keys, status, lower, body, endpoint))
    request_id = next((lower[name] for name in _REQUEST_ID if lower.get(name)), None)
    return replace(
        reading,
        status=status,
        request_id=shorten(request_id),
        retry_after=seconds_of(lower.get("retry-after"), now or datetime.now(UTC)),
    )


def read_failure(
    keys: Sequence[str], error: requests.RequestException | OracleUnavailable | OracleRefused, *, endpoint: str
) -> Reading:
    """What it means that there is no answer, or no token to ask with."""
    if isinstance(error, OracleRefused):
        problem = _problem(keys, "token", str(error))
        return replace(problem, credentials_refused=isinstance(error, CredentialsRefused))
    if isinstance(error, OracleUnavailable):
        failed = _failed(keys, "token", Words(None, str(error)), counts=False)
        return replace(failed, retry_after=error.retry_after)
    failure = failure_of(error)
    if failure.permanent:
        return _problem(keys, failure.kind, f"{endpoint} cannot be used: {failure.words}; {failure.advice}.")
    return _failed(keys, failure.kind, Words(None, failure.words), counts=failure.arrived)


def refused_twice(keys: Sequence[str], reading: Reading, *, endpoint: str) -> Reading:
    """The reading of a second 401 in a row: a new token did not help."""
    said = f" ({reading.words})" if reading.words else ""
    problem = (
        f"{endpoint} answered 401{said} to a token that is new: check the scope in the Airflow Connection and that "
        "the client may use this endpoint (Oracle Fusion needs a user named like the client id)."
    )
    return replace(
        _problem(keys, "unauthorized", problem),
        credentials_refused=True,
        words=reading.words,
        status=reading.status,
        request_id=reading.request_id,
    )


def with_shortfall(reading: Reading, shortfall: str | None) -> Reading:
    """The reading of a refusal, with what its token lacks: the narrower scope is the likely reason.

    :param shortfall: `TokenHolder.shortfall`.
    """
    if shortfall is None or reading.problem is None or reading.status not in (401, 403):
        return reading
    return replace(reading, problem=f"{reading.problem} The likely reason: {shortfall}.")


def _accepted(answer: _Answer) -> Reading:
    if answer.results is not None:
        return _each(answer, answer.results)
    if not answer.body.strip():
        return Reading(verdicts=same_for_all(answer.keys, Verdict(Outcome.SENT)), outcome="sent")
    try:
        document = json.loads(answer.body)
    except (ValueError, RecursionError):
        return _failed(answer.keys, "not_json", answer.words)
    if isinstance(document, dict) and any(document.get(name) for name in ("results", "error", "o:errorDetails")):
        return _failed(answer.keys, "unclear", words_in(document))
    return Reading(verdicts=same_for_all(answer.keys, Verdict(Outcome.SENT)), outcome="sent")


def _rejected(answer: _Answer) -> Reading:
    if answer.results is not None:
        return _each(answer, answer.results)
    if len(answer.keys) > 1:
        return _to_split(answer, "refused")
    return replace(_dead(answer, "rejected"), isolated=True)


def _too_large(answer: _Answer) -> Reading:
    if len(answer.keys) > 1:
        return _to_split(answer, "too_large")
    return _dead(answer, "too_large")


def _unauthorized(answer: _Answer) -> Reading:
    released = same_for_all(answer.keys, Verdict(Outcome.RELEASED, error_class="unauthorized"))
    return Reading(verdicts=released, outcome="unauthorized", wants_new_token=True, words=str(answer.words) or None)


def _in_flight(answer: _Answer) -> Reading:
    return _failed(answer.keys, "in_flight", answer.words, counts=False)


def _busy(answer: _Answer) -> Reading:
    return _failed(answer.keys, "unavailable", answer.words, counts=False)


def _broken(answer: _Answer) -> Reading:
    return _failed(answer.keys, "unavailable", answer.words)


def _misplaced(answer: _Answer) -> Reading:
    said = f" ({answer.words})" if str(answer.words) else ""
    target = _without_query(answer.headers.get("location", ""))
    moved = f" and points to {target}" if target else ""
    advice = "let the client use this endpoint" if answer.status == 403 else "check base URL and path"
    problem = f"{answer.endpoint} answered {answer.status}{said}{moved}: {advice}, then run the push again."
    return replace(_problem(answer.keys, "unusable", problem), words=str(answer.words) or None)


def _without_query(location: str) -> str | None:
    try:
        parts = urlsplit(location)
    except ValueError:
        return None
    return shorten(f"{parts.hostname or ''}{parts.path}")  # a query may hold a session's secret


#: The first row that has the status decides.
_TABLE: tuple[tuple[range | tuple[int, ...], Callable[[_Answer], Reading]], ...] = (
    (range(200, 300), _accepted),  # sent; or each by its own result; or failed, if the body is neither
    ((400, 422), _rejected),  # each by its own result; else split in halves, and dead if it was alone
    ((401,), _unauthorized),  # released; a new token, then again
    ((409,), _in_flight),  # failed: the same key is being worked on
    ((413,), _too_large),  # released, to be sent in smaller requests; dead if it was alone
    ((408, 425, 429, 503), _busy),  # failed; says nothing about the items
    (range(500, 600), _broken),  # failed; an item that was alone may be the cause
    (range(1000), _misplaced),  # 3xx, 403, 404, any other: released, the destination does not work
)

#: A result's status word: the outcome, and the class of the error. Any other word is failed, ``unknown_word``.
_WORDS = {
    "stored": (Outcome.SENT, None),
    "duplicate": (Outcome.SENT, None),
    "rejected": (Outcome.DEAD, "rejected"),
    "retry": (Outcome.FAILED, "retry"),
}


def _each(answer: _Answer, results: list[Any]) -> Reading:
    missing = Verdict(Outcome.FAILED, error_class="missing", words="The answer has no result for this item.")
    verdicts = dict.fromkeys(answer.keys, missing)
    named = set()
    for result in results:
        key = result.get("idempotencyKey") if isinstance(result, dict) else None
        if isinstance(key, str) and key in verdicts and verdicts[key].outcome is not Outcome.SENT:
            verdicts[key] = _of_result(result)
            named.add(key)
    sent = any(verdict.outcome is Outcome.SENT for verdict in verdicts.values())
    alone = len(answer.keys) == 1
    verdicts = {
        key: replace(verdict, counts_attempt=verdict.outcome is not Outcome.SENT and (alone or (sent and key in named)))
        for key, verdict in verdicts.items()
    }
    all_sent = all(verdict.outcome is Outcome.SENT for verdict in verdicts.values())
    return Reading(verdicts=verdicts, outcome="sent" if all_sent else "partly" if sent else "none_sent")


def _of_result(result: dict[str, Any]) -> Verdict:
    word = result.get("status")
    outcome, error_class = _WORDS.get(str(word).lower(), (Outcome.FAILED, "unknown_word"))
    reference = shorten(result.get("reference"))
    if outcome is Outcome.SENT:
        return Verdict(outcome, reference)
    said = words_in({"error": result.get("error")})
    text = said.text or (f"The result has the status {shorten(word)}." if error_class == "unknown_word" else None)
    return Verdict(outcome, reference, error_class, said.code, text)


def _failed(keys: Sequence[str], error_class: str, words: Words, *, counts: bool = True) -> Reading:
    verdict = Verdict(Outcome.FAILED, None, error_class, words.code, words.text, counts_attempt=counts)
    return Reading(verdicts=same_for_all(keys, verdict), outcome=error_class, words=str(words) or None)


def _to_split(answer: _Answer, error_class: str) -> Reading:
    released = same_for_all(answer.keys, Verdict(Outcome.RELEASED, error_class=error_class))
    return Reading(verdicts=released, outcome=error_class, split=True, words=str(answer.words) or None)


def _dead(answer: _Answer, error_class: str) -> Reading:
    words = answer.words
    verdict = Verdict(Outcome.DEAD, None, error_class, words.code, words.text, counts_attempt=True)
    return Reading(verdicts={answer.keys[0]: verdict}, outcome=error_class, words=str(words) or None)


def _problem(keys: Sequence[str], error_class: str, sentence: str) -> Reading:
    released = same_for_all(keys, Verdict(Outcome.RELEASED, error_class=error_class))
    return Reading(verdicts=released, outcome="problem", problem=sentence)
