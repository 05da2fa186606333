"""The parts of a proof in words: what each is called, and what it means."""

from collections.abc import Mapping
from typing import NamedTuple

from totara_bridge.staging.proof_part import UNACCOUNTED, Part


class Words(NamedTuple):
    """Of one part."""

    label: str
    means: str


WORDS: Mapping[str, Words] = {
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
    UNACCOUNTED: Words(
        "Not accounted for",
        "Nothing explains why it is not there. It may be on the route only since bridge.toml was changed: "
        "backfill_completions queues what is on the route and was never queued.",
    ),
}
