"""The pairs of learner and course that Totara changed since the last extract: the next one reads them anyway."""

from collections.abc import Iterator
from contextlib import contextmanager

from totara_bridge.errors import Transient
from totara_bridge.extract.plan import ExtractPlan
from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.incoming import Incoming, load
from totara_bridge.staging.site import Watermark
from totara_bridge.totara.source import Snapshot, Source


class SourceWithPending:
    """A source whose snapshots, once read, also say what has changed; that is in the temporary tables then."""

    def __init__(self, source: Source, transaction: Transaction, plan: ExtractPlan, before: Watermark) -> None:
        self._source = source
        self._transaction = transaction
        self._plan = plan
        self._before = before
        self.change_log = False  #: whether what was read has one

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """Totara as it is now.

        :raises Transient: it is read in another way than by the last extract.
        """
        with self._source.snapshot() as snapshot:
            self._refuse_another_look(snapshot)
            yield snapshot
            self.change_log = snapshot.change_log
            if snapshot.change_log:
                window = snapshot.window(
                    after=self._before.log_id, read_at=self._before.read_at, overlap=self._plan.overlap
                )
                load(self._transaction, Incoming.PAIR, snapshot.changed_pairs(window))
                load(self._transaction, Incoming.WHOLE_COURSE, snapshot.whole_courses(window))

    def _refuse_another_look(self, snapshot: Snapshot) -> None:
        if (snapshot.query, snapshot.kind) != (self._before.query, self._before.source):
            raise Transient(
                f"The connection {self._plan.connection} of site {self._plan.site} shows Totara otherwise than at the "
                "last extract, as its source or its query was changed, so nothing was compared: run "
                "extract_completions first."
            )
