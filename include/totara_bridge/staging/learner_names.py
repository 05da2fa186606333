"""A learner's names: which of them a search can tell from other words, and what finds those in a text."""

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from totara_bridge.completion import Status
from totara_bridge.staging import erasure
from totara_bridge.staging.states import TRANSITIONS, Kind, Lane, State

#: Bytes of a name that can be told from the rest of a text.
SHORTEST = 4

#: What the bridge itself writes into a learner's rows.
_OWN_WORDS = " ".join(
    (*State, *Kind, *Lane, *Status, *TRANSITIONS, "late split shadow push extract looked_for", *erasure.WORDS)
)


@dataclass(frozen=True, repr=False)
class Names:
    """A learner's names: which are looked for, and why others are not."""

    sought: Mapping[str, str]  #: by what they are, such as ``username``
    skipped: dict[str, str]  #: why, by what they are

    @classmethod
    def of(cls, identity: Mapping[str, str], words: Sequence[str], *, user_id: int | None = None) -> "Names":
        """Those that a search can tell from other words, such as these, and from Totara's number of the learner."""
        names = {what: name.strip() for what, name in identity.items()}
        common = " ".join((_OWN_WORDS, *identity, *words)).casefold()
        skipped = {what: why for what, name in names.items() if (why := _why_not_sought(name, common, user_id))}
        return cls({what: name for what, name in names.items() if what not in skipped}, skipped)

    @property
    def pattern(self) -> str | None:
        """A regular expression, as PostgreSQL reads it, that finds any of them; none: there are none."""
        forms = {_literal(form) for name in self.sought.values() for form in _forms(name)}
        return "|".join(sorted(forms)) or None


def _why_not_sought(name: str, common: str, user_id: int | None) -> str | None:
    if not name:
        return "there is none"
    if name == str(user_id):
        return "it is Totara's number of the learner too, which is kept"
    if len(name.encode()) < SHORTEST:
        return f"it is shorter than {SHORTEST} letters, which many other words contain"
    if name.casefold() in common:
        return "the bridge uses this word itself"
    return None


def _forms(name: str) -> Iterator[str]:
    """How a name may be written in a text or in JSON."""
    for form in {name, unicodedata.normalize("NFC", name), unicodedata.normalize("NFD", name)}:
        yield form
        yield json.dumps(form)[1:-1]
        yield json.dumps(form, ensure_ascii=False)[1:-1]


def _literal(form: str) -> str:
    """A regular expression for this text alone; a number within another number is another one."""
    return rf"(?<![0-9]){form}(?![0-9])" if re.fullmatch("[0-9]+", form) else re.escape(form)
