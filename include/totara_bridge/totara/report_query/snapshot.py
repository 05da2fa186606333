"""A report as it was read: its rows as lines, those that cannot be understood apart from the others."""

import logging
from collections.abc import Iterator, Mapping, Sequence

from totara_bridge.completion import copy_line
from totara_bridge.errors import ConfigurationInvalid, ReportUnreadable, TotaraRefused
from totara_bridge.totara.connection import TotaraConnection
from totara_bridge.totara.graphql.client import GraphqlClient
from totara_bridge.totara.graphql.learners import learners
from totara_bridge.totara.report_query.columns import OF_LEARNER
from totara_bridge.totara.report_query.reading import ReportReading, Row
from totara_bridge.totara.report_query.rows import Person, RowReader
from totara_bridge.totara.report_row import RowRefused, joined
from totara_bridge.totara.report_values import quoted
from totara_bridge.totara.source import Gives, SourceKind, Window
from totara_bridge.totara.without_log import WithoutLog

log = logging.getLogger(__name__)


class ReportQuerySnapshot(WithoutLog):
    """A report at one moment; see `totara_bridge.totara.source.Snapshot`.

    What is kept in memory is what the report says of each learner, and the ids of the courses; the rows are on disk.
    """

    kind = SourceKind.REPORT_QUERY

    def __init__(
        self, connection: TotaraConnection, client: GraphqlClient, reading: ReportReading, gives: Gives, clock: int
    ) -> None:
        super().__init__(connection)
        self._client = client
        self._reading = reading
        self._rows = RowReader(reading.places, connection)
        self._report = connection.report.id
        self.gives = gives
        self.whole = connection.report.whole
        self.clock = clock

    def completions(self, window: Window | None) -> Iterator[bytes]:
        """Lines with `COMPLETION_COLUMNS`, each row known by its place in the report.

        :raises ReportUnreadable: at the end, where not one row could be understood.
        """
        return joined(self._completions())

    def learners(self, window: Window | None) -> Iterator[bytes]:
        """Lines with `LEARNER_COLUMNS`; what the report does not show of them, the API may."""
        people = {self._rows.pair(row)[0]: self._rows.person(row) for row in self._wanted()}
        asked = any(name not in self._reading.places for name in OF_LEARNER)
        return joined(self._with_what_the_api_knows(people) if asked else _learner_lines(people))

    def courses(self, window: Window | None) -> Iterator[bytes]:
        """Lines with `COURSE_COLUMNS`; category and visibility a report does not say."""
        seen: set[int] = set()
        return joined(self._rows.course(row) for row in self._wanted() if self._is_new(row, seen))

    def present_pairs(self, window: Window | None) -> Iterator[bytes]:
        """user_id and course_id of each row, also of those that the query leaves out."""
        return joined(copy_line(self._rows.pair(row)) for row in self._paired())

    def audiences(self, id_numbers: Sequence[str]) -> frozenset[str]:
        """Nobody can be asked.

        :raises ConfigurationInvalid: a route wants to know of any.
        """
        if id_numbers:
            raise ConfigurationInvalid(
                f"A route in bridge.toml names the audience {quoted(id_numbers[0])}, but a report of completions does "
                "not show who is in an audience, so nothing was read: take audiences out of the route, or read the "
                "site through its database or its web services."
            )
        return frozenset()

    def audience_members(self, id_numbers: Sequence[str], window: Window | None) -> Iterator[bytes]:
        """None."""
        return iter(())

    def refused(self) -> Iterator[bytes]:
        """Lines with `REFUSED_COLUMNS`: the page, and the row on it."""
        for row, refused in self._refused():
            feed = f"report {self._report}, page {row.page}"
            yield copy_line((feed, row.number, *refused.pair, f"{refused}."))

    def _completions(self) -> Iterator[bytes]:
        understood = misunderstood = 0
        for place, row in enumerate(self._reading.rows(), 1):
            try:
                if self._rows.is_wanted(row):
                    yield self._rows.completion(row, place)
                understood += 1
            except RowRefused:
                misunderstood += 1
        if misunderstood and not understood:
            first, refused = next(self._refused())
            raise ReportUnreadable(
                f"Not one of the {misunderstood} rows of the report {quoted(self._reading.title)} could be understood, "
                f"so nothing was read (row {first.number} of page {first.page}: {refused})."
            )

    def _refused(self) -> Iterator[tuple[Row, RowRefused]]:
        for place, row in enumerate(self._reading.rows(), 1):
            try:
                if self._rows.is_wanted(row):
                    self._rows.completion(row, place)
            except RowRefused as refused:
                yield row, refused

    def _wanted(self) -> Iterator[Row]:
        return (row for row in self._paired() if self._rows.is_wanted(row))

    def _paired(self) -> Iterator[Row]:
        """The rows of which it is known who and which course is meant."""
        for row in self._reading.rows():
            try:
                self._rows.pair(row)
            except RowRefused:
                continue
            yield row

    def _is_new(self, row: Row, seen: set[int]) -> bool:
        _, course = self._rows.pair(row)
        if course in seen:
            return False
        seen.add(course)
        return True

    def _with_what_the_api_knows(self, people: dict[int, Person]) -> Iterator[bytes]:
        """What the report shows wins: it is of the same reading as the completions."""
        try:
            for learner in learners(self._client):
                person = people.pop(learner.user_id, None)
                if person is not None:
                    told = zip(person, learner[1:6], strict=True)
                    known = (shown if shown is not None else by_api for shown, by_api in told)
                    # whom the API shows is not deleted
                    yield copy_line((learner.user_id, *known, learner.suspended, False))
        except TotaraRefused as refused:
            log.warning("What the report does not show of learners is not known, as they may not be read: %s", refused)
        yield from _learner_lines(people)


def _learner_lines(people: Mapping[int, Person]) -> Iterator[bytes]:
    """What the report says of them; who is suspended it does not say."""
    return (copy_line((user_id, *person, None, person.deleted)) for user_id, person in people.items())
