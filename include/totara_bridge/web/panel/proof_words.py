"""A proof in words: what each number of it is called and means, and whether it closes."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC
from typing import NamedTuple

from totara_bridge.staging.proof import Line, total
from totara_bridge.staging.proof_expected import Comparison, Count
from totara_bridge.staging.proof_part import UNACCOUNTED, Part


class Words(NamedTuple):
    """Of one part."""

    label: str
    means: str


WORDS: Mapping[str, Words] = {
    Count.IN_TOTARA: Words(
        "In Totara", "Totara's own number when the site was compared last: its current and its archived completions."
    ),
    Part.DELIVERED: Words("Delivered", "The destination has confirmed it; the ledger of that is never purged."),
    Part.QUEUED: Words("Queued", "It waits for the next push, or for its turn in a backfill."),
    Part.SENDING: Words("Sending", "A push has it in hand at this moment."),
    Part.FAILED: Words("Failed", "The last attempt failed; the next comes by itself."),
    Part.HELD: Words("Held", "Something that its template requires is missing."),
    Part.DEAD: Words("Dead", "It was refused for good, or out of attempts: somebody has to decide."),
    Part.ERASED: Words(
        "Erased", "Its learner was erased before it was delivered; dated by the erasure, as its own dates are gone."
    ),
    Part.CANCELLED: Words("Cancelled", "A person cancelled it, or Totara lost it before it was ever posted."),
    Part.LOST: Words("Lost in Totara", "Totara lost it before it was queued."),
    Part.LEARNER_DELETED: Words(
        "Learner deleted", "Its learner was already deleted in Totara when it was first staged: it is never sent."
    ),
    Part.NOT_ROUTED: Words("Not on the route", "bridge.toml does not send it to this destination."),
    Part.BASELINE: Words(
        "Before the start", "It was there before the destination's first extract, and no backfill has asked for it."
    ),
    Count.ERASED: Words(
        "Erased, still in Totara",
        "Totara had it when the site was compared, and its learner had been erased here: whether it was delivered "
        "before that is known no more.",
    ),
    Count.SET_ASIDE: Words("Set aside", "Totara's row cannot be true, so it was not staged: correct it in Totara."),
    UNACCOUNTED: Words(
        "Not accounted for",
        "Nothing explains why it is not there. It may be on the route only since bridge.toml was changed: "
        "backfill_completions queues what is on the route and was never queued.",
    ),
    Count.NOT_STAGED: Words(
        "Not staged",
        "Totara had it when the site was compared, and it was not staged; a number below zero: more was staged than "
        "Totara had. reconcile_completions names them, and repairs it if asked to.",
    ),
}

#: Of a site that is counted by what is staged.
NOT_COMPARED = "Totara was not asked yet how many completions it has: run reconcile_completions, which asks."

#: Of a site that is not counted.
LEFT_OUT = "something of it is staged, and it is not in this proof, as bridge.toml does not name it."


def closes(lines: Sequence[Line], compared: Sequence[Comparison]) -> bool:
    """Whether each completion is somewhere.

    The sums of a course cannot tell one that is missing on a day from one more on another; the comparison could.
    """
    return all(line.closes for line in lines) and not any(each.missing or each.extra for each in compared)


def verdict(lines: Sequence[Line], compared: Sequence[Comparison], *, against_totara: bool) -> str:
    """Whether the proof closes, and by how much it does not, in both directions."""
    everything = total(lines)
    completions = _counted(
        everything.totara.completed if everything.totara else everything.staged, "completion", "completions"
    )
    if closes(lines, compared):
        where = f"{completions} in Totara" if against_totara else f"{completions} staged"
        return f"Everything is accounted for: {where}, each in one part."
    missing, surplus = off(lines)
    faults = (
        (missing, "completion that Totara had is not staged", "completions that Totara had are not staged"),
        (surplus, "completion more is staged than Totara had", "completions more are staged than Totara had"),
        (everything.unaccounted, "completion is not accounted for", "completions are not accounted for"),
    )
    counted = "; ".join(_counted(count, one, many) for count, one, many in faults if count) or (
        "the sums do, but the comparison with Totara found what is missing here and what is missing there"
    )
    return f"It does not close: {counted}." if against_totara else f"{counted}."


def off(lines: Sequence[Line]) -> tuple[int, int]:
    """How many Totara had that are not staged, and how many more are staged than it had; the one hides no other."""
    return sum(max(line.not_staged, 0) for line in lines), sum(max(-line.not_staged, 0) for line in lines)


def limits(comparison: Comparison) -> Mapping[str, Sequence[object] | str]:
    """What limits a connection's query, by the name of the list; learners are only counted."""
    query: dict[str, list[object]] = json.loads(comparison.query)
    return {
        name: _counted(len(listed), "learner", "learners") if name.startswith("learner") else listed
        for name, listed in query.items()
        if listed
    }


def told(comparison: Comparison) -> Iterator[str]:
    """What Totara's number of a site is of, and what of the proof is not as it was then, as sentences."""
    made_at = comparison.made_at.astimezone(UTC)
    yield f"Compared with Totara at {made_at:%Y-%m-%d %H:%M:%S} UTC by {comparison.made_by}."
    if comparison.missing or comparison.extra:
        yield (
            f"It found {comparison.missing} missing and {comparison.extra} extra, of whichever course and day, which "
            "Problems lists."
        )
    if limiting := limits(comparison):
        listed = "; ".join(
            f"{name}: {some if isinstance(some, str) else ', '.join(map(str, some))}" for name, some in limiting.items()
        )
        yield f"The connection's query lets only some through ({listed}): the rest counts as it was read before."
    else:
        yield "The connection's query limited nothing."
    for count, one, many in (
        (comparison.pending, *_PENDING),
        (comparison.found_since, *_FOUND_SINCE),
        (comparison.lost_before, *_LOST_BEFORE),
        (comparison.revised_since, *_REVISED_SINCE),
        (comparison.erased_since, *_ERASED_SINCE),
    ):
        if count:
            yield _counted(count, one, many)


_PENDING = (
    "pair of learner and course that Totara had changed since the last extract counts as it was read before.",
    "pairs of learner and course that Totara had changed since the last extract count as they were read before.",
)
_FOUND_SINCE = (
    "completion was first seen since: it is not in this proof.",
    "completions were first seen since: they are not in this proof.",
)
_LOST_BEFORE = (
    "completion had been lost by Totara before: it is not in this proof.",
    "completions had been lost by Totara before: they are not in this proof.",
)
_REVISED_SINCE = (
    "completion was changed since: it counts by the date that it has now.",
    "completions were changed since: they count by the dates that they have now.",
)
_ERASED_SINCE = (
    "completion is of a learner who was erased since: it counts by the day of that, until Totara is compared again.",
    "completions are of learners who were erased since: they count by the day of that, until Totara is compared again.",
)


def _counted(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"
