"""What an answer of Oracle's says: a verdict for each item, and what the drain does next."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Self


class Outcome(StrEnum):
    """What becomes of an item."""

    SENT = "sent"  #: Oracle has it
    FAILED = "failed"  #: later again, under the same key
    DEAD = "dead"  #: refused for good; waits for a person
    RELEASED = "released"  #: nothing was said about it: back to the queue as it was


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one item."""

    outcome: Outcome
    reference: str | None = None  #: Oracle's name for it
    error_class: str | None = None  #: one word, the same for the same cause
    code: str | None = None  #: Oracle's
    words: str | None = None  #: Oracle's, at most 500 characters
    counts_attempt: bool = False  #: it may be the item's own fault; count it only while others succeed


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one request came to."""

    verdicts: dict[str, Verdict]  #: one for every key that was sent
    outcome: str  #: one word for the log
    problem: str | None = None  #: the destination does not work, in a sentence: stop, and tell a person
    credentials_refused: bool = False  #: that is the problem: no token was given for them, or none was taken
    words: str | None = None  #: Oracle's words about the request as a whole
    retry_after: float | None = None  #: seconds that Oracle asks to be left alone
    wants_new_token: bool = False
    split: bool = False  #: the request was refused as a whole: send its items again in smaller ones
    isolated: bool = False  #: its one item was refused without a word on whether the item or the contract is wrong
    status: int | None = None  #: HTTP status; none: no answer
    request_id: str | None = None  #: Oracle's name for the request
    duration: float = 0.0  #: seconds from the first byte sent to the last read, a new token included
    answer: str | None = field(default=None, repr=False)  #: how its text begins, as it came; none: no answer

    def having(self, outcome: Outcome) -> list[str]:
        """The keys with this outcome."""
        return [key for key, verdict in self.verdicts.items() if verdict.outcome is outcome]

    @property
    def said(self) -> set[str]:
        """The destination's own words, codes and names, but not its answer as a whole."""
        said = {self.words, self.problem, self.request_id}
        for verdict in self.verdicts.values():
            said |= {verdict.reference, verdict.code, verdict.words}
        return {words for words in said if words is not None}

    def without(self, hide: Callable[[str], str]) -> Self:
        """The same with each of what was said as ``hide`` gives it; its answer as a whole is left as it is."""
        said = self.said
        at_once = "\n".join(said)
        if hide(at_once) == at_once:  # as nearly always: most answers say nothing but references
            return self
        hidden = {None: None} | {words: hide(words) for words in said}
        verdicts = {
            key: replace(
                verdict, reference=hidden[verdict.reference], code=hidden[verdict.code], words=hidden[verdict.words]
            )
            for key, verdict in self.verdicts.items()
        }
        return replace(
            self,
            verdicts=verdicts,
            request_id=hidden[self.request_id],
            words=hidden[self.words],
            problem=hidden[self.problem],
        )


def same_for_all(keys: Sequence[str], verdict: Verdict) -> dict[str, Verdict]:
    """One verdict for every item; only an item that was alone may be to blame."""
    if len(keys) > 1 and verdict.counts_attempt:
        verdict = replace(verdict, counts_attempt=False)
    return dict.fromkeys(keys, verdict)
