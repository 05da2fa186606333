"""What a completion is called in the Pull API: its site, its learner and its course, as in ``sbx-3-20``."""

import re

_ID = re.compile(r"([a-z]{2,8})-(0|[1-9][0-9]{0,18})-(0|[1-9][0-9]{0,18})")
_LARGEST = 2**63 - 1


def read(word: str) -> tuple[str, int, int] | None:
    """Site, Totara's id of the learner and of the course; none: no completion can be called so."""
    if (found := _ID.fullmatch(word)) is None:
        return None
    site, user_id, course_id = found[1], int(found[2]), int(found[3])
    return (site, user_id, course_id) if max(user_id, course_id) <= _LARGEST else None
