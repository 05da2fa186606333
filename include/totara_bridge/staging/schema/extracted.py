"""What Totara said: sites, learners, courses, completions and their instances, and how far each site was read."""

from datetime import datetime
from decimal import Decimal

from sqlalchemy import (
    CheckConstraint,
    Index,
    Numeric,
    Sequence,
    SmallInteger,
    Text,
    UniqueConstraint,
    literal_column,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from totara_bridge.completion import Status
from totara_bridge.staging.schema.table import SCHEMA, Id, Table, by_prefix, one_of

#: Grows with every staged change; what a puller's cursor counts in.
CHANGE_SEQUENCE = Sequence("change_seq", schema=SCHEMA, metadata=Table.metadata)

#: The same for learners, and for courses: a rename moves no completion.
LEARNER_SEQUENCE = Sequence("learner_change_seq", schema=SCHEMA, metadata=Table.metadata)
COURSE_SEQUENCE = Sequence("course_change_seq", schema=SCHEMA, metadata=Table.metadata)


class SiteRow(Table):
    """One Totara, and how to recognise it."""

    __tablename__ = "site"

    code: Mapped[str] = mapped_column(primary_key=True)
    connection: Mapped[str]
    #: when Totara's course 1 was made, Unix seconds: differs between any two sites; none: no source has said it yet
    fingerprint: Mapped[int | None]
    first_seen_at: Mapped[datetime]


class LearnerRow(Table):
    """A learner as last known; the identity is kept when Totara blanks it on deletion."""

    __tablename__ = "learner"
    __table_args__ = (
        # what pullers and people ask by, who may know only how it begins
        Index("learner_username_ix", "username", postgresql_ops=by_prefix("username")),
        Index("learner_id_number_ix", "id_number", postgresql_ops=by_prefix("id_number")),
        Index("learner_email_ix", literal_column("lower(email)").label("address"), postgresql_ops=by_prefix("address")),
    )

    site: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(primary_key=True)
    username: Mapped[str]
    id_number: Mapped[str]
    email: Mapped[str]
    first_name: Mapped[str]
    last_name: Mapped[str]
    suspended: Mapped[bool]
    deleted_at: Mapped[datetime | None]  #: when the bridge first saw the deletion
    changed_at: Mapped[datetime]
    change_seq: Mapped[int] = mapped_column(LEARNER_SEQUENCE, server_default=LEARNER_SEQUENCE.next_value(), unique=True)


class CourseRow(Table):
    """A course as last known."""

    __tablename__ = "course"

    site: Mapped[str] = mapped_column(primary_key=True)
    course_id: Mapped[int] = mapped_column(primary_key=True)
    category_id: Mapped[int]
    short_name: Mapped[str]
    id_number: Mapped[str]
    full_name: Mapped[str]
    category_path: Mapped[str] = mapped_column(server_default="")  #: ids from the top category to its own: ``/1/5``
    visible: Mapped[bool]
    changed_at: Mapped[datetime]
    change_seq: Mapped[int] = mapped_column(COURSE_SEQUENCE, server_default=COURSE_SEQUENCE.next_value(), unique=True)


class AudienceMemberRow(Table):
    """A learner is in an audience; only audiences that a route names are read."""

    __tablename__ = "audience_member"

    site: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(primary_key=True)
    audience: Mapped[str] = mapped_column(primary_key=True)  #: its id number


class CompletionRow(Table):
    """One learner's present state in one course."""

    __tablename__ = "completion"
    __table_args__ = (CheckConstraint(one_of("status", tuple(Status)), "status"),)

    site: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(primary_key=True)
    course_id: Mapped[int] = mapped_column(primary_key=True)
    #: Totara's ``course_completions.id``; 0: the learner is erased; -1: it has nothing but history; below: its source
    #: gives no row ids (`totara_bridge.staging.unsaid`)
    row_id: Mapped[int]
    status: Mapped[str]
    progress: Mapped[int | None] = mapped_column(SmallInteger)
    grade: Mapped[Decimal | None] = mapped_column(Numeric(10, 5))
    rpl: Mapped[str | None]
    time_enrolled: Mapped[datetime | None]
    time_started: Mapped[datetime | None]
    time_completed: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]  #: when the bridge saw that Totara has it no more
    changed_at: Mapped[datetime]  #: when it was merged; grows with ``change_seq``
    change_seq: Mapped[int] = mapped_column(CHANGE_SEQUENCE, server_default=CHANGE_SEQUENCE.next_value(), unique=True)


class InstanceRow(Table):
    """One time that a learner completed a course."""

    __tablename__ = "completion_instance"
    __table_args__ = (
        # what the record key was made of; finds the instances of a pair too
        UniqueConstraint(
            "site",
            "user_id",
            "course_id",
            "first_time_completed",
            "ordinal",
            name="completion_instance_minted_key",
            postgresql_nulls_not_distinct=True,
        ),
        Index(
            "completion_instance_current_ix",
            "site",
            "user_id",
            "course_id",
            unique=True,
            postgresql_where=text("archived_at IS NULL AND ended_at IS NULL"),
        ),
        CheckConstraint(one_of("status", (Status.COMPLETE, Status.COMPLETE_RPL)), "status"),
        CheckConstraint("record_key LIKE 'TB%' AND length(record_key) = 28", "record_key"),
        CheckConstraint("archived_at IS NOT NULL OR history_id IS NULL", "archived_in_history"),
        CheckConstraint("revision >= 1", "revision"),
    )

    id: Mapped[Id]
    site: Mapped[str]
    user_id: Mapped[int]
    course_id: Mapped[int]
    row_id: Mapped[int | None]  #: as in the completion's row; none for what was archived when first seen
    history_id: Mapped[int | None]  #: Totara's history row, once archived, where the source shows those
    status: Mapped[str]
    time_completed: Mapped[datetime | None]  #: none: completed, but Totara does not say when
    #: only the day of ``time_completed`` is known, and ends here; none: it is exact
    time_completed_until: Mapped[datetime | None]
    first_time_completed: Mapped[datetime | None]  #: as first seen; part of the record key
    ordinal: Mapped[int] = mapped_column(SmallInteger)  #: tells apart instances of one pair and time
    revision: Mapped[int]
    record_key: Mapped[str] = mapped_column(Text(collation="C"), unique=True)  #: found by how it begins, too
    after_deletion: Mapped[bool]  #: the learner was already deleted when it was first seen: never sent
    first_seen_at: Mapped[datetime]
    revised_at: Mapped[datetime | None]
    archived_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]  #: Totara has this completion no more


class WatermarkRow(Table):
    """Extracted up to here, per site."""

    __tablename__ = "watermark"

    site: Mapped[str] = mapped_column(primary_key=True)
    log_id: Mapped[int]  #: highest ``course_completion_log.id`` read
    read_at: Mapped[int]  #: Totara's clock at that read, Unix seconds: from here the next overlap goes back
    extracted_at: Mapped[datetime]  #: our clock
    compared_at: Mapped[datetime]  #: our clock at the last full compare
    query: Mapped[str]  #: the connection's query at that read, as JSON: another one shows another past
    source: Mapped[str] = mapped_column(server_default="database")  #: the way it was read: another shows it otherwise


class ExtractHourRow(Table):
    """What the extracts of an hour found of a site."""

    __tablename__ = "extract_hour"

    site: Mapped[str] = mapped_column(primary_key=True)
    hour: Mapped[datetime] = mapped_column(primary_key=True)
    runs: Mapped[int]
    changes: Mapped[int]  #: instances that were new, revised or lost


class SetAsideRow(Table):
    """A row of Totara's that cannot be true, and why; its neighbours were read without it."""

    __tablename__ = "set_aside"

    site: Mapped[str] = mapped_column(primary_key=True)
    feed: Mapped[str] = mapped_column(primary_key=True)  #: ``completion`` or ``history``, or a file's name
    row_id: Mapped[int] = mapped_column(primary_key=True)  #: Totara's, or the line of the file
    user_id: Mapped[int]
    course_id: Mapped[int]
    reason: Mapped[str]
    first_seen_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]


class ErasedLearnerRow(Table):
    """A learner of whom nothing may be held any more: no extract brings them back."""

    __tablename__ = "erased_learner"

    site: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(primary_key=True)
    erased_at: Mapped[datetime]
    erased_by: Mapped[str]
    #: among those of learners: that is how pullers of learners are told
    change_seq: Mapped[int] = mapped_column(LEARNER_SEQUENCE, server_default=LEARNER_SEQUENCE.next_value(), unique=True)
