"""What is kept and told of a request: nothing that names a learner leaves here."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from totara_bridge.oracle.payload import body
from totara_bridge.oracle.redaction import Redacted, redact
from totara_bridge.oracle.verdict import Outcome, Reading
from totara_bridge.push.plan import DrainPlan
from totara_bridge.staging.body import Body
from totara_bridge.template import DEFAULT, Template


@dataclass(frozen=True)
class Bodies:
    """How a drain keeps bodies."""

    items: str  #: the name of the list in them
    paths: frozenset[str]  #: where in any item of the queue a learner is named
    keep: str  #: never, failures or always

    @classmethod
    def of(cls, plan: DrainPlan, templates_used: Iterable[Mapping[str, Any]]) -> "Bodies":
        """As the plan says; items may have been made with any template that was ever used."""
        templates = [DEFAULT, plan.template, *map(Template.model_validate, templates_used)]
        paths = frozenset(path for template in templates for path in template.personal_paths)
        return cls(plan.template.items, paths, plan.settings.keep_bodies)

    def told(self, payload_texts: Sequence[str], reading: Reading) -> tuple[Reading, Body | None]:
        """What may be written down of a request: its reading, and its body if that is kept."""
        sent = len(reading.having(Outcome.SENT)) == len(reading.verdicts)
        keep = self.keep == "always" or (self.keep == "failures" and not sent)
        if not keep and not reading.said:
            return replace(reading, answer=None), None
        redacted = redact(payload_texts, self.paths)
        answer = None if reading.answer is None else redacted.hide(reading.answer)
        # the destination may repeat what it was sent in whatever is its own
        told = replace(reading.without(redacted.hide), answer=None)
        return told, self._body(redacted, answer) if keep else None

    def shown(self, payload_texts: Sequence[str]) -> Body:
        """The body that a request would have; nobody answered it."""
        return self._body(redact(payload_texts, self.paths), None)

    def _body(self, redacted: Redacted, answer: str | None) -> Body:
        return Body(body(redacted.payload_texts, self.items).decode(), answer)
