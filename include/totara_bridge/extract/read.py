"""Reading a Totara into the temporary tables of the transaction that will merge it."""

from dataclasses import dataclass
from datetime import UTC, datetime

from totara_bridge.errors import SiteReplaced
from totara_bridge.extract import audiences, full_compare, incremental
from totara_bridge.extract.plan import ExtractPlan
from totara_bridge.staging import incoming, site
from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.incoming import Incoming, load
from totara_bridge.staging.site import Watermark
from totara_bridge.totara.source import Gives, ReadFile, Snapshot, Source, SourceKind


@dataclass(frozen=True)
class ReadSource:
    """What the snapshot was of."""

    kind: SourceKind
    gives: Gives
    more: bool  #: there is more to read at once
    files: tuple[ReadFile, ...]

    @property
    def is_there(self) -> bool:
        """Off where no file of a report has come yet, so that nothing can be said of the site."""
        return self.kind is not SourceKind.REPORT_FILE or bool(self.files)

    @property
    def feed(self) -> str:
        """Where a row of it is found."""
        return self.files[0].name if self.files else "completion"


@dataclass(frozen=True)
class Read:
    """What is in the temporary tables now."""

    source: ReadSource
    whole_site: bool  #: what is not there is gone
    completions: int
    watermark: Watermark


def read(transaction: Transaction, source: Source, plan: ExtractPlan, before: Watermark | None, now: datetime) -> Read:
    """Read Totara, and let go of it: what follows may take long, and waits for others."""
    with source.snapshot() as snapshot:
        _refuse_another_totara(transaction, snapshot, plan, now)
        incoming.receive(transaction)
        everything = not snapshot.change_log or _is_whole_turn(snapshot, plan, before, now)
        if before is None or everything:
            window = None
            completions = full_compare.read(transaction, snapshot)
        else:
            window = snapshot.window(after=before.log_id, read_at=before.read_at, overlap=plan.overlap)
            completions = incremental.read(transaction, snapshot, window)
        audiences.read(transaction, snapshot, site=plan.site, wanted=plan.audiences, window=window)
        unknown = load(transaction, Incoming.REFUSED, snapshot.refused()) and incoming.has_unknown_refused(transaction)
        keep = before if before is not None and not everything else None
        return Read(
            source=ReadSource(snapshot.kind, snapshot.gives, snapshot.more, tuple(snapshot.read_files())),
            whole_site=everything and snapshot.whole and not plan.only_news and not unknown,
            completions=completions,
            watermark=Watermark(
                log_id=snapshot.newest_log_id,
                read_at=snapshot.clock,
                extracted_at=now,
                compared_at=now if before is None or everything else before.compared_at,
                query=keep.query if keep else snapshot.query,
                source=keep.source if keep else snapshot.kind,
            ),
        )


def _is_whole_turn(snapshot: Snapshot, plan: ExtractPlan, before: Watermark | None, now: datetime) -> bool:
    """Whether all of a Totara that has a change log is to be read now."""
    if before is None:
        return True
    if plan.only_news:
        return False
    return (
        plan.force_full_compare
        or snapshot.query != before.query
        or snapshot.kind != before.source
        or full_compare.due(before, newest_log_id=snapshot.newest_log_id, at=plan.full_compare_at, now=now)
    )


def _refuse_another_totara(transaction: Transaction, snapshot: Snapshot, plan: ExtractPlan, now: datetime) -> None:
    known = site.recognise(
        transaction, site=plan.site, connection=plan.connection, fingerprint=snapshot.fingerprint, now=now
    )
    if snapshot.fingerprint is not None and known is not None and known != snapshot.fingerprint:
        made = datetime.fromtimestamp(known, UTC), datetime.fromtimestamp(snapshot.fingerprint, UTC)
        raise SiteReplaced(
            f"The connection {plan.connection} of site {plan.site} leads to another Totara than before (made on "
            f"{made[1]:%Y-%m-%d %H:%M:%S} instead of {made[0]:%Y-%m-%d %H:%M:%S} UTC), so nothing was read: "
            "correct the connection, or give the new Totara a site code of its own in bridge.toml."
        )
