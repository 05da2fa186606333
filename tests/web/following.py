"""A puller in a process of its own, as an external system is one: it follows a feed, and goes on from its file."""

import json
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

import requests

from tests.web.puller import Puller
from tests.web.seen import Journal, Step, seen

#: What is asked for again: the server, or the database behind it, is not there now.
_COMES_BACK = {429, 503}

_LINES_AT_ONCE = 100

#: Seconds between two questions of whoever has it all, or gets no answer; a random share of it is waited.
_PAUSE = 0.2


@dataclass(frozen=True)
class Following:
    """What a puller is told."""

    address: str
    token: str
    journal: Path
    feed: str = "/completions"
    since: str | None = None  #: what the first question says
    form: Literal["json", "ndjson"] = "json"
    limits: Sequence[int | None] = (1, 7, 50, 500, None)  #: of which each question has one
    seed: int = 0
    to_the_end: bool = False  #: end when there is nothing more; else never


def follow(orders: Following) -> None:
    """Follow the feed.

    :raises AssertionError: an answer that no puller of this kind may get.
    """
    dice, journal = random.Random(orders.seed), Journal(orders.journal)
    journal.repair()
    cursor = journal.cursor()
    with Puller(orders.address, orders.token) as puller:
        while True:
            asked = {"cursor": cursor} if cursor else {"since": orders.since}
            answered = _page if orders.form == "json" else _stream
            try:
                steps = answered(puller, orders, dice, asked)
                came = 0
                for step in steps:
                    journal.add(step)
                    came += len(step.seen)
                    cursor = step.cursor or cursor
            except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError, _NotNow):
                time.sleep(dice.uniform(0, _PAUSE))
                continue
            if came == 0:
                if orders.to_the_end:
                    return
                time.sleep(dice.uniform(0, _PAUSE))


class _NotNow(Exception):
    pass


def _page(puller: Puller, orders: Following, dice: random.Random, asked: dict[str, Any]) -> Iterator[Step]:
    """One page; what is empty and has more is asked for again."""
    while True:
        answer = puller.get(orders.feed, limit=dice.choice(orders.limits), **asked)
        _check(answer)
        page = answer.json()
        asked = {"cursor": page["cursor"]}
        yield Step([seen(item) for item in page["items"]], page["cursor"], at=time.time())
        if page["items"] or not page["more"]:
            return


def _stream(puller: Puller, orders: Following, dice: random.Random, asked: dict[str, Any]) -> Iterator[Step]:
    """All there is; the cursor is worth something only once the last line has come."""
    limit = dice.choice([each for each in orders.limits if each is None or each >= _LINES_AT_ONCE])
    headers = {"Accept": "application/x-ndjson"}
    address, asked = puller.address + orders.feed, asked | {"limit": limit}
    with puller.session.get(address, params=asked, headers=headers, stream=True, timeout=60) as answer:
        _check(answer)
        [cursor] = parse_qs(urlsplit(answer.links["next"]["url"]).query)["cursor"]
        lines = []
        yield Step([], None, begins=True)
        for line in answer.iter_lines():
            lines.append(seen(json.loads(line)))
            if len(lines) == _LINES_AT_ONCE:
                yield Step(lines, None)
                lines = []
        yield Step(lines, cursor, at=time.time())


def _check(answer: requests.Response) -> None:
    if answer.status_code in _COMES_BACK:
        assert answer.headers["content-type"] == "application/problem+json", answer.text
        assert int(answer.headers["retry-after"]) > 0
        raise _NotNow
    assert answer.status_code == 200, answer.text
