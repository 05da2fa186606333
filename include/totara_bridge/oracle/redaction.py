"""What is kept or told of a request names no learner, also where the destination's answer repeats what it was sent."""

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from totara_bridge.hidden import REDACTED, Hidden, storable


@dataclass(frozen=True)
class Redacted(Hidden):
    """What was taken out of payloads, and the payloads, which name no learner any more."""

    payload_texts: Sequence[str]


def redact(payload_texts: Iterable[str], paths: Collection[str]) -> Redacted:
    """Write `REDACTED` at the personal paths of each item.

    :param paths: where in an item's JSON a learner is named, dots nest; a path that an item has not is no error.
    """
    found: set[str] = set()
    # what is deeper first: a path may lead into what another replaces
    deepest_first = [path.split(".") for path in sorted(paths, key=lambda path: (-path.count("."), path))]
    without = [_without(text, deepest_first, found) for text in payload_texts]
    return Redacted(frozenset(found), without)


def _without(payload_text: str, paths: Sequence[Sequence[str]], found: set[str]) -> str:
    document = json.loads(payload_text)
    for *parents, name in paths:
        place: Any = document
        for parent in parents:
            place = place.get(parent) if isinstance(place, dict) else None
        if isinstance(place, dict) and place.get(name) not in (None, ""):
            found.add(str(place[name]))
            place[name] = REDACTED
    return storable(_json(document))


_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
