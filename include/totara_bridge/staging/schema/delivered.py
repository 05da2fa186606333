"""What goes out: the queue, its trace, and the ledger of what each destination has."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, SmallInteger, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from totara_bridge.staging.schema.table import Id, Table, by_prefix, one_of
from totara_bridge.staging.states import Kind, Lane, State


class ItemRow(Table):
    """One thing to deliver: an instance, to one destination, as a kind, at a revision."""

    __tablename__ = "export_queue"
    __table_args__ = (
        UniqueConstraint("destination", "instance_id", "kind", "revision"),
        Index(
            "export_queue_one_completion_ix",
            "destination",
            "instance_id",
            unique=True,
            postgresql_where=text("kind = 'completion' AND state <> 'cancelled'"),
        ),
        Index(
            "export_queue_due_ix",
            "destination",
            "lane",
            "next_attempt_at",
            "id",
            postgresql_where=text("state IN ('queued', 'failed') AND shadowed_at IS NULL"),
        ),
        # a page of the control panel reads what waits by its number
        Index(
            "export_queue_waiting_ix",
            "destination",
            "state",
            "id",
            postgresql_where=text("state IN ('queued', 'failed')"),
        ),
        Index("export_queue_shadowed_ix", "destination", postgresql_where=text("shadowed_at IS NOT NULL")),
        # a completion is found by its record key
        Index(
            "export_queue_amendment_key_ix",
            "idempotency_key",
            postgresql_ops=by_prefix("idempotency_key"),
            postgresql_where=text("kind <> 'completion'"),
        ),
        Index("export_queue_held_ix", "destination", "id", postgresql_where=text("state = 'held'")),
        Index(
            "export_queue_stopped_ix",
            "destination",
            "state",
            "id",
            postgresql_where=text("state IN ('dead', 'cancelled')"),
        ),
        Index(
            "export_queue_lease_ix",
            "destination",
            "lease_until",
            postgresql_where=text("state = 'sending'"),
        ),
        CheckConstraint(one_of("state", tuple(State)), "state"),
        CheckConstraint(one_of("kind", tuple(Kind)), "kind"),
        CheckConstraint(one_of("lane", tuple(Lane)), "lane"),
        CheckConstraint("(state = 'sending') = (claim_token IS NOT NULL)", "claimed_when_sending"),
        CheckConstraint("(state = 'sending') = (lease_until IS NOT NULL)", "leased_when_sending"),
        CheckConstraint("(state = 'sending') = (claimed_from IS NOT NULL)", "comes_from_when_sending"),
        CheckConstraint("(state = 'sending') = (claimed_at IS NOT NULL)", "dated_when_sending"),
        CheckConstraint("claimed_from IN ('queued', 'failed')", "comes_from"),
        CheckConstraint("(state = 'sent') = (sent_at IS NOT NULL)", "dated_when_sent"),
        CheckConstraint("state NOT IN ('failed', 'dead') OR error_class IS NOT NULL", "error_when_failed"),
        CheckConstraint("(state = 'held') = (held_for IS NOT NULL)", "reason_when_held"),
        CheckConstraint("(state = 'held') = (held_at IS NOT NULL)", "dated_when_held"),
        CheckConstraint("(state = 'cancelled') = (cancelled_by IS NOT NULL)", "who_when_cancelled"),
        CheckConstraint("attempts >= 0 AND failures >= 0", "counts"),
        {"postgresql_with": {"fillfactor": "80"}},
    )

    id: Mapped[Id]
    destination: Mapped[str]
    instance_id: Mapped[int] = mapped_column(ForeignKey("completion_instance.id"))
    kind: Mapped[str]
    revision: Mapped[int]
    idempotency_key: Mapped[str]
    state: Mapped[str]
    lane: Mapped[str]
    attempts: Mapped[int] = mapped_column(SmallInteger, server_default="0")  #: that counted against it alone
    failures: Mapped[int] = mapped_column(SmallInteger, server_default="0")  #: of its requests; sets the wait
    next_attempt_at: Mapped[datetime]
    claim_token: Mapped[UUID | None]
    claimed_from: Mapped[str | None]
    claimed_at: Mapped[datetime | None]
    lease_until: Mapped[datetime | None]
    payload: Mapped[str]  #: the exact text that is sent; no more changed once it was posted
    template: Mapped[str] = mapped_column(server_default="default/1")  #: name/version that the payload was made with
    error_class: Mapped[str | None]
    error_code: Mapped[str | None]
    error_words: Mapped[str | None]
    held_for: Mapped[str | None]  #: what the template needs and the item has not: its names, with commas
    held_at: Mapped[datetime | None]  #: when that was last looked at
    cancelled_by: Mapped[str | None]  #: a person; ``extract`` where Totara lost the completion
    reference: Mapped[str | None]  #: what the destination calls it
    export_log_id: Mapped[int | None]  #: the last request that carried it
    staged_at: Mapped[datetime]  #: when the bridge first saw the instance: delay counts from here
    queued_at: Mapped[datetime]
    first_posted_at: Mapped[datetime | None]
    shadowed_at: Mapped[datetime | None]  #: a drain in shadow mode has shown what it would have sent
    sent_at: Mapped[datetime | None]


class ItemEventRow(Table):
    """What a person or a failure did to an item; a sending that went well writes none."""

    __tablename__ = "item_event"
    __table_args__ = (Index("item_event_reject_at_ix", "at", postgresql_where=text("verb = 'reject'")),)

    id: Mapped[Id]
    item_id: Mapped[int] = mapped_column(ForeignKey("export_queue.id", ondelete="CASCADE"), index=True)
    at: Mapped[datetime]
    verb: Mapped[str]
    actor: Mapped[str]
    words: Mapped[str | None]
    export_log_id: Mapped[int | None]  #: the request that it is about


class DeliveryRow(Table):
    """A destination has this; never purged, so that nothing is ever sent again."""

    __tablename__ = "delivery"

    destination: Mapped[str] = mapped_column(primary_key=True)
    instance_id: Mapped[int] = mapped_column(ForeignKey("completion_instance.id"), primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    revision: Mapped[int] = mapped_column(primary_key=True)
    sent_at: Mapped[datetime]
    reference: Mapped[str | None]


class DestinationStateRow(Table):
    """How a destination is, shared by all that send to it."""

    __tablename__ = "destination_state"

    destination: Mapped[str] = mapped_column(primary_key=True)
    not_before: Mapped[datetime | None]  #: it asked to be left alone until then
    breaker_open_until: Mapped[datetime | None]  #: it failed repeatedly: nothing is claimed until then
    down_since: Mapped[datetime | None]  #: it does not answer, and has stored nothing since
    rate: Mapped[Decimal | None]  #: requests per second it takes; none: as many as the settings allow
    rate_lowered_at: Mapped[datetime | None]  #: when it last said that the rate was too high
    next_request_at: Mapped[datetime | None]  #: while there is a rate: when the next request may begin
    reason: Mapped[str | None]
    changed_at: Mapped[datetime]


class ExportLogRow(Table):
    """One request to a destination: no secrets, no names of learners."""

    __tablename__ = "export_log"
    __table_args__ = (
        Index("export_log_destination_id_ix", "destination", "id"),
        Index("export_log_at_ix", "at", "id"),
    )

    id: Mapped[Id]
    batch: Mapped[UUID]
    destination: Mapped[str]
    at: Mapped[datetime]
    duration_ms: Mapped[int]
    items: Mapped[int]
    http_status: Mapped[int | None] = mapped_column(SmallInteger)
    outcome: Mapped[str]
    error: Mapped[str | None]
    request_id: Mapped[str | None]  #: the destination's name for the request


class KeptBodyRow(Table):
    """What a request said and what was answered, without what names a learner; kept only where a setting says so."""

    __tablename__ = "kept_body"
    __table_args__ = (Index("kept_body_destination_at_ix", "destination", "at"),)

    export_log_id: Mapped[int] = mapped_column(ForeignKey("export_log.id", ondelete="CASCADE"), primary_key=True)
    destination: Mapped[str]
    at: Mapped[datetime]
    request: Mapped[str]
    answer: Mapped[str | None]  #: none: there was none, or none was asked for


class BaselineRow(Table):
    """Up to this instance a destination wants none of a site's past, until a backfill asks for it."""

    __tablename__ = "baseline"

    destination: Mapped[str] = mapped_column(primary_key=True)
    site: Mapped[str] = mapped_column(primary_key=True)
    instance_id: Mapped[int]
    created_at: Mapped[datetime]


class PayloadTemplateRow(Table):
    """A payload template as it was first used: the same version never means two things."""

    __tablename__ = "payload_template"

    name: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    definition: Mapped[str]  #: `Template.definition`: text, as JSON that PostgreSQL compares knows no order
    first_used_at: Mapped[datetime]


class MappingRow(Table):
    """What a destination calls a learner or a course of a site."""

    __tablename__ = "mapping"
    __table_args__ = (
        CheckConstraint(one_of("kind", ("learner", "course")), "kind"),
        CheckConstraint("number <> ''", "number"),
    )

    destination: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(primary_key=True)
    site: Mapped[str] = mapped_column(primary_key=True)
    totara_id: Mapped[int] = mapped_column(primary_key=True)  #: of the user or course in Totara
    number: Mapped[str]
    changed_at: Mapped[datetime]
    changed_by: Mapped[str]
