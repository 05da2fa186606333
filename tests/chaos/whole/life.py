"""Life in a Totara: completions, edits, recognitions, recertifications, resets and deletions, at a steady rate.

Everything happens in Totara's own transactions and by acts that its change log tells of: what the bridge must find is
what Totara's tables have in the end.
"""

import random
import threading
import time
from collections import Counter
from typing import NamedTuple

from sqlalchemy import Engine
from sqlalchemy.exc import InterfaceError, OperationalError

from totara_bridge.sandbox.totara.actions import TotaraActs

#: Seconds between two things that happen.
_PAUSE = 0.4
#: Until a Totara is back that was away, and after how long it never will be.
_AWAY, _LONGEST = 0.5, 300.0

_COURSES = 6
#: How often each happens, next to the others.
_ACTS = {"complete": 60, "recognise": 8, "edit": 12, "regress": 4, "archive": 8, "delete": 6, "recreate": 6, "reset": 1}


class Pair(NamedTuple):
    """A learner in a course."""

    learner: int
    course: int


class Life:
    """Goes on in a thread of its own; for ``with``."""

    def __init__(self, totara: Engine, dice: random.Random) -> None:
        """Nothing happens yet.

        :param totara: its database itself, not what the bridge is connected to.
        """
        self.happened: Counter[str] = Counter()
        self._acts = TotaraActs(totara)
        self._dice = dice
        self._courses: list[int] = []
        self._pairs: list[Pair] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._live, name="life in Totara")
        self._failed: Exception | None = None

    def begin(self) -> None:
        """Begin."""
        self._make_courses()
        self._thread.start()

    def end(self) -> None:
        """Nothing happens any more.

        :raises Exception: what could not happen, though Totara was there.
        """
        self._over.set()
        if self._thread.ident is not None:
            self._thread.join()
        if self._failed is not None:
            raise self._failed

    def complete_now(self) -> Pair:
        """A new learner completes a course, as soon as Totara is there; nothing else ever happens to them."""
        end = time.monotonic() + _LONGEST
        while True:
            try:
                return self._completed()
            except (OperationalError, InterfaceError):
                if time.monotonic() > end:
                    raise
                time.sleep(_AWAY)

    def _live(self) -> None:
        while not self._over.wait(_PAUSE):
            [what] = self._dice.choices([*_ACTS], weights=[*_ACTS.values()])
            try:
                getattr(self, f"_{what}")()
                self.happened[what] += 1
            except LookupError:
                continue  # it cannot happen to that one
            except (OperationalError, InterfaceError):
                self._over.wait(_AWAY)
            except Exception as error:
                self._failed = error
                return

    def _make_courses(self) -> None:
        """Courses of its own, the first time."""
        while len(self._courses) < _COURSES:
            self._courses.append(self._acts.new_course())

    def _enrol(self) -> Pair:
        """A new learner in one of the courses that are never reset."""
        self._make_courses()
        learner, course = self._acts.new_user(), self._dice.choice(self._courses[:-1])
        self._acts.enrol(learner, course)
        return Pair(learner, course)

    def _completed(self) -> Pair:
        pair = self._enrol()
        self._acts.complete(*pair)
        return pair

    def _complete(self) -> None:
        self._pairs.append(self._completed())

    def _recognise(self) -> None:
        pair = self._enrol()
        self._acts.complete_by_rpl(*pair, at=self._date(), note="A certificate of long ago")
        self._pairs.append(pair)

    def _edit(self) -> None:
        self._acts.edit_date(*self._any(), at=self._date())

    def _regress(self) -> None:
        self._acts.regress(*self._any())

    def _archive(self) -> None:
        self._acts.archive(*self._any())

    def _delete(self) -> None:
        self._acts.delete_completion(*self._any())

    def _recreate(self) -> None:
        """Recertification, or somebody enrolled whose completion was deleted: they complete it anew."""
        pair = self._any()
        if self._acts.completion(*pair) is None:
            self._acts.recreate(*pair)
        self._acts.complete(*pair)

    def _reset(self) -> None:
        """The last course is reset, and is the only one: all of its completions go at once."""
        course = self._courses[-1]
        self._acts.reset_course(course)
        learner = self._acts.new_user()
        self._acts.enrol(learner, course)
        self._acts.complete(learner, course)

    def _any(self) -> Pair:
        if not self._pairs:
            raise LookupError("nobody yet")
        return self._dice.choice(self._pairs)

    def _date(self) -> int:
        return self._dice.randrange(1_500_000_000, 1_700_000_000)
