"""What is kept and told of a request: nothing that names a learner leaves here."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from totara_bridge.oracle.payload import body
from totara_bridge.oracle.redaction import Redacted, redact
from totara_bridge.oracle.verdict import Outcome, Reading, Verdict
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
        if not keep and not _says_something(reading):
            return replace(reading, answer=None), None
        redacted = redact(payload_texts, self.paths)
        answer = None if reading.answer is None else redacted.hide(reading.answer)
        return _hidden(reading, redacted), self._body(redacted, answer) if keep else None

    def shown(self, payload_texts: Sequence[str]) -> Body:
        """The body that a request would have; nobody answered it."""
        return self._body(redact(payload_texts, self.paths), None)

    def _body(self, redacted: Redacted, answer: str | None) -> Body:
        return Body(body(redacted.payload_texts, self.items).decode(), answer)


def _says_something(reading: Reading) -> bool:
    return bool(reading.words or reading.problem or any(each.words for each in reading.verdicts.values()))


def _hidden(reading: Reading, redacted: Redacted) -> Reading:
    """The destination's words may repeat what it was sent."""
    hidden = {None: None} | {words: redacted.hide(words) for words in _all_words(reading)}
    verdicts: dict[str, Verdict] = {
        key: verdict if verdict.words is None else replace(verdict, words=hidden[verdict.words])
        for key, verdict in reading.verdicts.items()
    }
    return replace(
        reading, verdicts=verdicts, words=hidden[reading.words], problem=hidden[reading.problem], answer=None
    )


def _all_words(reading: Reading) -> set[str]:
    said = {reading.words, reading.problem, *(verdict.words for verdict in reading.verdicts.values())}
    return {words for words in said if words is not None}
