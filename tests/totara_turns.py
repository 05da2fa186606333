"""What happens in a small Totara, and what a test must know of it that its tables do not say."""

from collections import Counter
from collections.abc import Callable, Mapping
from itertools import count

from sqlalchemy import text

from tests.small_totara import BEGINNING, COURSES, LEARNERS, Databases, Has, Known, Late, Origin, Pair, completions
from totara_bridge.sandbox.totara.actions import TotaraActs

PAIRS = [(3 + learner, 2 + course) for learner in range(LEARNERS) for course in range(COURSES)]


class Turns:
    """A Totara and its clock. What can happen to another pair only happens to that."""

    def __init__(self, databases: Databases) -> None:
        self._databases = databases
        self.name = databases.copy("small_totara")
        self.engine = databases.engine(self.name)
        self.acts = TotaraActs(self.engine, clock=lambda: self.now)
        self.now = BEGINNING
        self.known = Known()
        for pair, has in completions(self.engine).items():
            if has.is_complete:
                self.known.current[pair] = Origin(has.row, 0)
        for pair in PAIRS:
            self.known.archived |= {row["id"]: (pair, Origin(0, -row["id"])) for row in self.acts.history(*pair)}
        self.late: dict[Pair, Late] = {}
        self.unlogged: set[Pair] = set()  #: of which the change log does not tell
        self.ever_deleted: set[int] = set()
        self.happened: Counter[str] = Counter()
        self._backup = ("", Known())
        self._dates = count(1_500_000_000, 3_600)
        self._turns = count(1)

    def close(self) -> None:
        """Remove it, and its backup."""
        for late in self.late.values():
            late.end(commit=False)
        for name in filter(None, (self.name, self._backup[0])):
            self._databases.drop(name)

    def happen(self, among: Mapping[str, "What"], number: int, *, late: bool = False) -> None:
        """Let one of these happen to a pair to which it can happen: which ones the number says, and each time others.

        Hypothesis likes small numbers, and the same again: by themselves they would leave out half of what there is.

        :param late: it is committed with `commit`.
        """
        self.now += 1
        number += next(self._turns)
        what = [*among][number % len(among)]
        fits, act = among[what]
        has = completions(self.engine)
        start = number // len(among) % len(PAIRS)
        for pair in (*PAIRS[start:], *PAIRS[:start]):
            if pair not in self.late and fits(self, pair, has.get(pair)):
                self._act(what, act, pair, late=late)
                return

    def _act(self, what: str, act: "Act", pair: Pair, *, late: bool) -> None:
        transaction = Late(self.engine, self.now) if late else None
        try:
            act(self, transaction.acts if transaction else self.acts, pair)
        except LookupError:  # such as somebody who is not enrolled any more
            if transaction:
                transaction.end(commit=False)
            return
        if transaction:
            self.late[pair] = transaction
        self.happened[f"{what} late" if late else what] += 1

    def commit(self, pair: Pair) -> int:
        """Let what was late be seen; when it was logged."""
        late = self.late.pop(pair)
        late.end(commit=True)
        self.happened["commit late"] += 1
        return late.logged_at

    def back_up(self) -> None:
        """Keep a copy of the database, which nobody may be connected to."""
        if self._backup[0]:
            self._databases.drop(self._backup[0])
        self._backup = (self._databases.copy(self.name), self.known.copy())

    def restore(self) -> bool:
        """Put the copy in the place of the database; whether there is one."""
        name, known = self._backup
        if not name:
            return False
        self._databases.drop(self.name)
        self._databases.copy(name, self.name)
        self.known, self.unlogged = known.copy(), {*PAIRS}
        self.happened["restore"] += 1
        return True

    # what happens, one by one

    def _complete(self, acts: TotaraActs, pair: Pair) -> None:
        acts.complete(*pair)
        self._completed(pair)

    def _recognise(self, acts: TotaraActs, pair: Pair) -> None:
        acts.complete_by_rpl(*pair, at=self._date(), note="A certificate of long ago")
        self._completed(pair)

    def _completed(self, pair: Pair) -> None:
        row = completions(self.engine)[pair]  # as it was before, where the change is not committed yet
        self.known.current[pair] = Origin(row.row, self.now)

    def _meet(self, acts: TotaraActs, pair: Pair) -> None:
        met = {row["criteriaid"] for row in acts.criteria_met(*pair)}
        acts.meet_criterion(*pair, next(each for each in acts.criteria(pair[1]) if each not in met))
        if completions(self.engine)[pair].is_complete:
            self._completed(pair)
        self.unlogged.add(pair)  # what is neither the first nor the last criterion is not logged

    def _edit(self, acts: TotaraActs, pair: Pair) -> None:
        acts.edit_date(*pair, at=self._date())

    def _regress(self, acts: TotaraActs, pair: Pair) -> None:
        acts.regress(*pair)
        del self.known.current[pair]

    def _archive(self, acts: TotaraActs, pair: Pair) -> None:
        self.known.archived[acts.archive(*pair)] = (pair, self.known.current.pop(pair))

    def _recertify(self, acts: TotaraActs, pair: Pair) -> None:
        self._archive(acts, pair)
        acts.recreate(*pair)

    def _recreate(self, acts: TotaraActs, pair: Pair) -> None:
        acts.recreate(*pair)

    def _delete(self, acts: TotaraActs, pair: Pair) -> None:
        acts.delete_completion(*pair)
        self.known.current.pop(pair, None)

    def _edit_history(self, acts: TotaraActs, pair: Pair) -> None:
        acts.edit_history_date(acts.history(*pair)[0]["id"], self._date())

    def _unlock(self, acts: TotaraActs, pair: Pair) -> None:
        acts.reset_course(pair[1])
        self._forget(lambda other: other[1] == pair[1] and other not in completions(self.engine), archived=False)

    def _sql_edit(self, acts: TotaraActs, pair: Pair) -> None:
        acts.sql_update_without_log(*pair, at=self._date())
        self.unlogged.add(pair)

    def _sql_delete(self, _: TotaraActs, pair: Pair) -> None:
        self._sql("DELETE FROM ttr_course_completions WHERE userid = :user AND course = :course", pair)
        self.known.current.pop(pair, None)

    def _sql_forget(self, _: TotaraActs, pair: Pair) -> None:
        self._sql("DELETE FROM ttr_course_completion_history WHERE userid = :user AND courseid = :course", pair)
        self._forget(lambda other: other == pair, current=False)

    def _import(self, acts: TotaraActs, pair: Pair) -> None:
        self._sql(
            f"""INSERT INTO ttr_course_completion_history (userid, courseid, timecompleted)
                VALUES (:user, :course, {self._date()})""",
            pair,
        )
        self.known.archived[acts.history(*pair)[-1]["id"]] = (pair, Origin(0, self.now))

    def _unenrol(self, acts: TotaraActs, pair: Pair) -> None:
        acts.unenrol(*pair)

    def _delete_learner(self, acts: TotaraActs, pair: Pair) -> None:
        acts.delete_user(pair[0])
        self.ever_deleted.add(pair[0])

    def _delete_course(self, acts: TotaraActs, pair: Pair) -> None:
        acts.delete_course(pair[1])
        self.unlogged |= {other for other in PAIRS if other[1] == pair[1]}
        self._forget(lambda other: other[1] == pair[1])

    def _sql(self, statement: str, pair: Pair) -> None:
        with self.engine.begin() as connection:
            connection.execute(text(statement), {"user": pair[0], "course": pair[1]})
        self.unlogged.add(pair)

    def _forget(self, gone: Callable[[Pair], bool], *, current: bool = True, archived: bool = True) -> None:
        if current:
            self.known.current = {k: v for k, v in self.known.current.items() if not gone(k)}
        if archived:
            self.known.archived = {k: v for k, v in self.known.archived.items() if not gone(v[0])}

    def _date(self) -> int:
        return next(self._dates)

    # to whom it can happen

    def is_held(self, pair: Pair) -> bool:
        """Whether somebody has not yet committed something of the learner or the course."""
        return any(other[0] == pair[0] or other[1] == pair[1] for other in self.late)


Act = Callable[[Turns, TotaraActs, Pair], None]
Fits = Callable[[Turns, Pair, Has | None], bool]
What = tuple[Fits, Act]


def _open(turns: Turns, pair: Pair, has: Has | None) -> bool:
    return has is not None and not has.is_complete and pair[0] not in turns.ever_deleted


def _complete(_: Turns, __: Pair, has: Has | None) -> bool:
    return has is not None and has.is_complete


def _there(_: Turns, __: Pair, has: Has | None) -> bool:
    return has is not None


def _gone(_: Turns, __: Pair, has: Has | None) -> bool:
    return has is None


def _archived(turns: Turns, pair: Pair, _: Has | None) -> bool:
    return bool(turns.acts.history(*pair))


def _unmet(turns: Turns, pair: Pair, has: Has | None) -> bool:
    return _open(turns, pair, has) and len(turns.acts.criteria_met(*pair)) < len(turns.acts.criteria(pair[1]))


def _course(turns: Turns, pair: Pair, _: Has | None) -> bool:
    return not turns.is_held(pair) and pair[1] in turns.acts.courses()


def _one_of_several_courses(turns: Turns, pair: Pair, has: Has | None) -> bool:
    return _course(turns, pair, has) and len(turns.acts.courses()) > 1


def _learner(turns: Turns, pair: Pair, _: Has | None) -> bool:
    return not turns.is_held(pair) and len(turns.ever_deleted) == 0


#: What can happen: to whom it can, and how it does. First what Totara logs, then what it does not.
LOGGED: Mapping[str, What] = {
    "complete": (_open, Turns._complete),
    "recognise": (_open, Turns._recognise),
    "edit": (_complete, Turns._edit),
    "regress": (_complete, Turns._regress),
    "archive": (_complete, Turns._archive),
    "recertify": (_complete, Turns._recertify),
    "recreate": (_gone, Turns._recreate),
    "delete": (_there, Turns._delete),
    "edit history": (_archived, Turns._edit_history),
}
UNLOGGED: Mapping[str, What] = {
    "meet a criterion": (_unmet, Turns._meet),
    "edit in SQL": (_complete, Turns._sql_edit),
    "delete in SQL": (_there, Turns._sql_delete),
    "delete history in SQL": (_archived, Turns._sql_forget),
    "import history": (_course, Turns._import),
    "unenrol": (_there, Turns._unenrol),
}
RARE: Mapping[str, What] = {
    "unlock": (_course, Turns._unlock),
    "delete course": (_one_of_several_courses, Turns._delete_course),
    "delete learner": (_learner, Turns._delete_learner),
}
ACTS = {**LOGGED, **UNLOGGED, **RARE}
