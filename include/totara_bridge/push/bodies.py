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
        if not keep and not _all_said(reading):
            return replace(reading, answer=None), None
        redacted = redact(payload_texts, self.paths)
        answer = None if reading.answer is None else redacted.hide(reading.answer)
        return _hidden(reading, redacted), self._body(redacted, answer) if keep else None

    def shown(self, payload_texts: Sequence[str]) -> Body:
        """The body that a request would have; nobody answered it."""
        return self._body(redact(payload_texts, self.paths), None)

    def _body(self, redacted: Redacted, answer: str | None) -> Body:
        return Body(body(redacted.payload_texts, self.items).decode(), answer)


def _hidden(reading: Reading, redacted: Redacted) -> Reading:
    """The destination may repeat what it was sent in whatever is its own: words, codes and names."""
    all_said = _all_said(reading)
    at_once = "\n".join(all_said)
    if redacted.hide(at_once) == at_once:  # as nearly always: most answers say nothing but references
        return replace(reading, answer=None)
    hidden = {None: None} | {said: redacted.hide(said) for said in all_said}
    verdicts = {
        key: replace(
            verdict, reference=hidden[verdict.reference], code=hidden[verdict.code], words=hidden[verdict.words]
        )
        for key, verdict in reading.verdicts.items()
    }
    return replace(
        reading,
        verdicts=verdicts,
        request_id=hidden[reading.request_id],
        words=hidden[reading.words],
        problem=hidden[reading.problem],
        answer=None,
    )


def _all_said(reading: Reading) -> set[str]:
    said = {reading.words, reading.problem, reading.request_id}
    for verdict in reading.verdicts.values():
        said |= {verdict.reference, verdict.code, verdict.words}
    return {words for words in said if words is not None}
