"""A rule is one sentence of the contract and a way to see from outside whether it is kept."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from totara_bridge.oracle.conformance.probe import NotSeen, Probe


class Finding(StrEnum):
    """What became of a rule."""

    PASS = "pass"  # noqa: S105  a word of the report
    FAIL = "FAIL"
    ADVICE = "advice"  #: not as recommended; the bridge works all the same
    NOT_CHECKED = "not checked"  #: it could not be seen, or was left out


class Broken(Exception):
    """The endpoint does not keep the rule."""

    def __init__(self, expected: str, answered: object) -> None:
        """What the contract says, and what came instead."""
        super().__init__(expected, answered)
        self.expected = expected
        self.answered = str(answered)


@dataclass(frozen=True)
class Rule:
    """One rule, as docs/oracle-endpoint.md numbers it."""

    number: int
    statement: str
    check: Callable[[Probe], str | None]
    """Posts what it needs and returns, perhaps with a note; raises `Broken` or `NotSeen`."""
    change: str  #: what to change where it is broken
    needs: tuple[int, ...] = (1, 2)  #: rules without which this one cannot be seen
    advice: bool = False  #: a recommendation: broken, it is no failure

    @property
    def name(self) -> str:
        """Such as R7."""
        return f"R{self.number}"


@dataclass(frozen=True, kw_only=True)
class RuleResult:
    """What came of checking one rule."""

    rule: Rule
    finding: Finding
    note: str | None = None  #: why it was not checked, or what else was seen
    expected: str | None = None  #: of a rule that is broken, as is the next
    answered: str | None = None


def result_of(rule: Rule, probe: Probe) -> RuleResult:
    """Check one rule."""
    try:
        return RuleResult(rule=rule, finding=Finding.PASS, note=rule.check(probe))
    except NotSeen as reason:
        return not_checked(rule, str(reason))
    except Broken as broken:
        finding = Finding.ADVICE if rule.advice else Finding.FAIL
        return RuleResult(rule=rule, finding=finding, expected=broken.expected, answered=broken.answered)


def not_checked(rule: Rule, reason: str) -> RuleResult:
    """The result of a rule that was not checked."""
    return RuleResult(rule=rule, finding=Finding.NOT_CHECKED, note=reason)
