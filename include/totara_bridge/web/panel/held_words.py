"""What held items wait for, in words, and what a person can do about it."""

from collections.abc import Sequence

from totara_bridge.staging.hold import ANOTHER_LOOK
from totara_bridge.template_field import COURSE, USER

_MAPPED = {
    "learner_number": "the destination's number of the learner",
    "course_number": "the destination's number of the course",
}

_FROM_TOTARA = {
    "time_completed": "the date of completion",
    **{f"user.{name}": f"the learner's {name.replace('_', ' ')}" for name in USER},
    **{f"course.{name}": f"the course's {name.replace('_', ' ')}" for name in COURSE},
}

_LOAD = "Load what the destination calls them with load_mappings: these items are queued at once."
_FILL_IN = "Fill it in where it is missing in Totara: the next extract brings it, and the push after it sends them."
_WAIT = "Nothing is to be done: somebody requeued them, and the next push makes their payloads anew and sends them."
_ELSE = "Give the template another source or a default for it (docs/templates.md), or cancel them."


def names_in(held_for: str) -> Sequence[str]:
    """The names that the queue has with commas between."""
    return held_for.split(", ")


def wanted(held_for: str) -> str:
    """What is missing, as the rest of a sentence that begins with "waits for"."""
    known = {ANOTHER_LOOK: "another look by the next push"} | _MAPPED | _FROM_TOTARA
    said = [known.get(name, name) for name in names_in(held_for)]
    return " and ".join([", ".join(said[:-1]), said[-1]] if len(said) > 1 else said)


def advice(held_for: str) -> str:
    """What to do about it."""
    names = set(names_in(held_for))
    if ANOTHER_LOOK in names:
        return _WAIT
    told = [_LOAD] if names & _MAPPED.keys() else []
    told += [_FILL_IN] if names & _FROM_TOTARA.keys() else []
    told += [_ELSE] if names - _MAPPED.keys() - _FROM_TOTARA.keys() else []
    return " ".join(told)


def can_be_mapped(held_for: str) -> bool:
    """Whether loading mappings helps."""
    return bool(_MAPPED.keys() & set(names_in(held_for)))
