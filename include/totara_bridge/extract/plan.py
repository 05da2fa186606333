"""How a site is to be extracted, and what an extract did."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import time, timedelta

from totara_bridge.extract.enqueue import Wants
from totara_bridge.staging.completion import CompletionChanges
from totara_bridge.staging.instance import InstanceChanges


@dataclass(frozen=True)
class Extracted:
    """What an extract did."""

    site: str
    full_compare: bool
    read: int  #: completions
    set_aside: int  #: rows that cannot be true; the table of that name says why
    completions: CompletionChanges
    instances: InstanceChanges
    baseline: tuple[str, ...]  #: destinations that saw the site for the first time: its past is not queued
    queued: int
    held: int  #: new completions that lack something which the template requires
    replaced: int  #: items that were not posted yet and got a later revision's payload
    cancelled: int  #: items that were not posted yet and are no more true: Totara lost the completion, or has it again
    corrections: int  #: items that tell a destination of a revision
    withdrawals: int  #: items that tell a destination of a loss
    reported: int  #: revisions and losses that a destination has, or may have, and does not want to know of
    more: bool = False  #: there is more to read at once: another extract

    @property
    def changed(self) -> bool:
        """Whether anything in staging or in the queue is different now."""
        staged = (*vars(self.completions).values(), *vars(self.instances).values())
        return any((*staged, self.queued, self.held, self.replaced, self.cancelled))

    def counts(self) -> dict[str, int]:
        """The numbers, flat."""
        return {
            "read": self.read,
            "set_aside": self.set_aside,
            **{f"completions_{name}": number for name, number in vars(self.completions).items()},
            **{f"instances_{name}": number for name, number in vars(self.instances).items()},
            "queued": self.queued,
            "held": self.held,
            "replaced": self.replaced,
            "cancelled": self.cancelled,
            "corrections": self.corrections,
            "withdrawals": self.withdrawals,
            "reported": self.reported,
        }


@dataclass(frozen=True)
class ExtractPlan:
    """How a site is to be extracted."""

    site: str
    connection: str  #: the Airflow Connection's name, for the books and for sentences
    destinations: Sequence[Wants]  #: all: one whose route does not take the site any more may have some of it
    overlap: timedelta
    full_compare_at: time  #: the first run after it, in its time zone, compares everything
    force_full_compare: bool = False
    confirm_deletions: bool = False
    by: str = "extract"  #: who confirms
    only_news: bool = False  #: no full compare, even where one is due

    @property
    def audiences(self) -> frozenset[str]:
        """The audiences that routes name which take the site, by their id numbers."""
        taking = (wants for wants in self.destinations if wants.takes(self.site))
        return frozenset(name for wants in taking for name in wants.route.audiences)
