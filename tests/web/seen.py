"""What a puller has seen, in a file that outlives it, and what is wrong with that.

Each line of the file is one step: what came, and the cursor that came with it. A puller that was killed goes on from
the last cursor; a line that it did not finish never was.
"""

import json
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

from totara_bridge.web.pull import cursor
from totara_bridge.web.pull.cursor import Feed


class Seen(NamedTuple):
    """One item, as it came."""

    id: str
    version: int
    gone: bool  #: deleted, or erased


class State(NamedTuple):
    """The last that is known of an item."""

    version: int
    gone: bool


class Step(NamedTuple):
    """What a puller wrote down at once."""

    seen: Sequence[Seen]
    cursor: str | None  #: none: more comes with the same answer
    begins: bool = False  #: an answer begins that may be read in several steps
    at: float = 0.0  #: when it had come, Unix seconds


class Written(NamedTuple):
    """A version of an item that was committed."""

    id: str
    version: int
    at: float  #: some time before its commit, and after it had its number; Unix seconds


def seen(item: Mapping[str, Any]) -> Seen:
    """What is remembered of an item of any feed."""
    return Seen(item["id"], item["version"], item.get("deleted", False) or item.get("erased", False))


class Journal:
    """The file of one puller."""

    def __init__(self, path: Path) -> None:
        """Nothing was seen yet where there is no file."""
        self._path = path

    def steps(self) -> list[Step]:
        """All that was seen, in order."""
        return [*map(_step, self._lines())]

    def cursor(self) -> str | None:
        """Where to go on; none: from the beginning."""
        return next((step.cursor for step in reversed(self.steps()) if step.cursor is not None), None)

    def repair(self) -> None:
        """Forget the line that somebody was killed over."""
        if self._path.exists():
            self._path.write_bytes(b"".join(self._lines()))

    def add(self, *steps: Step) -> None:
        """Write down what came."""
        with self._path.open("ab") as file:
            for step in steps:
                file.write(json.dumps([step.seen, step.cursor, step.begins, step.at]).encode() + b"\n")

    def _lines(self) -> list[bytes]:
        if not self._path.exists():
            return []
        return [line for line in self._path.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]


def last_of(steps: Sequence[Step]) -> dict[str, State]:
    """The last state in which each item was seen."""
    return {each.id: State(each.version, each.gone) for step in steps for each in step.seen}


def disorder(steps: Sequence[Step]) -> Iterator[str]:
    """Where the order of changes was not kept: sentences.

    From cursor to cursor versions only grow, so none comes twice. Where an answer broke off and was asked for again,
    they begin again at the cursor before it; but no item is ever seen as it was before it was last seen.
    """
    newest: dict[str, int] = {}
    confirmed = reached = 0
    for step in steps:
        if step.begins:
            reached = confirmed
        for item in step.seen:
            if item.version <= reached:
                yield f"{item.id} came in version {item.version} after version {reached} of another or of its own"
            if item.version < newest.get(item.id, 0):
                yield f"{item.id} came in version {item.version} after its version {newest[item.id]}"
            reached = newest[item.id] = item.version
        if step.cursor is not None:
            confirmed = reached


def missed(steps: Sequence[Step], truth: Mapping[str, State]) -> Iterator[str]:
    """What a puller that has come to the end believes and is not so: sentences."""
    believed = last_of(steps)
    for name in sorted(truth.keys() | believed.keys()):
        if believed.get(name) != truth.get(name):
            yield f"{name} was last seen as {believed.get(name)} and is {truth.get(name)}"


def skipped(steps: Sequence[Step], written: Sequence[Written], feed: Feed) -> Iterator[str]:
    """Which versions a puller's cursor passed over, though they were the newest of their items then: sentences.

    `missed` says which items are wrong in the end; this also which ones were, and were mended by a later change.
    """
    places = [(cursor.read(step.cursor, feed).after, step.at) for step in steps if step.cursor is not None]
    passed = [place for place, _ in places]
    had = {(each.id, each.version) for step in steps for each in step.seen}
    followed: dict[str, float] = {}
    for name, version, at in sorted(written, key=lambda each: each.version, reverse=True):
        # what came after it was not there yet when the answer had come whose cursor lies beyond it
        beyond = bisect_left(passed, version)
        if beyond < len(places) and (name, version) not in had and places[beyond][1] < followed.get(name, inf):
            yield f"{name} was never seen in version {version}, which the cursor passed at {passed[beyond]}"
        followed[name] = at


def _step(line: bytes) -> Step:
    found, *more = json.loads(line)
    return Step([Seen(*each) for each in found], *more)
