"""One answer per destination and instance, and one for what is no instance."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Engine, Row

from totara_bridge.completion import Status
from totara_bridge.config import BridgeConfig, Destination
from totara_bridge.staging import erased, route
from totara_bridge.staging import why_not as staged
from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.erased import Tombstone
from totara_bridge.staging.states import Kind, State
from totara_bridge.staging.why_not import Pair, Present
from totara_bridge.totara.query import ReadQuery
from totara_bridge.why_not.item import Surroundings, clause, moment, sent, waits_behind


class Why(StrEnum):
    """The answers there are; those of an item are its states."""

    SENT = "sent"
    SENDING = "sending"
    QUEUED = "queued"
    FAILED = "failed"
    DEAD = "dead"
    HELD = "held"
    CANCELLED = "cancelled"
    NOT_WANTED = "not_wanted"  #: the destination has it, and does not want to know that it was revised or lost
    LOST = "lost"  #: Totara has it no more, and nothing was queued before
    ERASED = "erased"  #: everything about the learner was erased: nothing of them is ever sent
    LEARNER_DELETED = "learner_deleted"  #: before the bridge first saw the completion
    OFF_ROUTE = "off_route"
    WAS_OFF_ROUTE = "was_off_route"  #: when it was staged, or was back after a loss; now it is on it
    NO_BASELINE = "no_baseline"  #: no extract has seen the destination yet
    BEFORE_BASELINE = "before_baseline"
    NOT_COMPLETED = "not_completed"
    SET_ASIDE = "set_aside"  #: what Totara says cannot be true
    NOT_STAGED = "not_staged"


@dataclass(frozen=True)
class Answer:
    """Why an instance was, or was not, sent to a destination."""

    destination: str | None  #: none: there is no instance that any destination could get
    record_key: str | None
    time_completed: datetime | None
    why: Why
    sentence: str


def why_not(
    engine: Engine,
    config: BridgeConfig,
    *,
    site: str,
    user_id: int,
    course_id: int,
    destination: str | None = None,
    now: datetime,
) -> list[Answer]:
    """Why the learner's completions of the course were, or were not, sent; of all destinations or of one.

    Last comes what is no instance: that the course is not completed now, or what hides that it is. Of a learner who
    was erased there is nothing to say but that.

    :raises ConfigurationInvalid: bridge.toml has no such site or destination, or a setting is out of its bounds.
    """
    config.site(site)
    asked = config.destinations if destination is None else (config.destination(destination),)
    with engine.connect() as transaction:
        return answers_for(transaction, Pair(site, user_id, course_id), asked, now)


def answers_for(transaction: Transaction, pair: Pair, asked: Sequence[Destination], now: datetime) -> list[Answer]:
    """The same, within a transaction, for sites and destinations that there are.

    :raises ConfigurationInvalid: a setting is out of its bounds.
    """
    if (tombstone := erased.tombstone(transaction, site=pair.site, user_id=pair.user_id)) is not None:
        return [_of_erased(tombstone)]
    answers = [answer for each in asked for answer in _of_destination(transaction, pair, each, now)]
    present = staged.present(transaction, pair)
    lost = present.deleted_at is not None and not present.set_aside
    if not present.current and not (lost and answers):
        answers.append(_of_present(present, pair))
    return answers


def _of_erased(tombstone: Tombstone) -> Answer:
    sentence = (
        f"The learner was erased on {moment(tombstone.erased_at)}, as {tombstone.erased_by} asked: what the bridge "
        "knew of them is gone, and nothing of them is sent any more (docs/erasing.md)."
    )
    return Answer(None, None, None, Why.ERASED, sentence)


def _of_destination(transaction: Transaction, pair: Pair, to: Destination, now: datetime) -> Iterator[Answer]:
    around = Surroundings.of(transaction, to.code, now)
    for instance in staged.instances(transaction, pair, destination=to.code, route=to.route):
        items = staged.items(transaction, destination=to.code, instance_id=instance.id)
        why, words = _of_instance(instance, items, to, around)
        for later, more in _amendment(instance, items, around):
            why, words = later, f"{words}; {more}"
        yield Answer(to.code, instance.record_key, instance.time_completed, why, f"It {words.removesuffix('.')}.")


def _of_instance(
    instance: Row[Any], items: Sequence[Row[Any]], to: Destination, around: Surroundings
) -> tuple[Why, str]:
    """What became of the completion itself."""
    completions = [item for item in items if item.kind == Kind.COMPLETION]
    open_or_sent = [item for item in completions if item.state != State.CANCELLED]
    if open_or_sent:
        item = open_or_sent[-1]
        return Why(item.state), clause(item, around)
    if instance.sent_at is not None:  # its item was purged
        return Why.SENT, sent(instance.sent_at, instance.reference)
    # what Totara lost and has again is a matter of the route once more
    if completions and (instance.ended_at is not None or completions[-1].cancelled_by != "extract"):
        return Why.CANCELLED, clause(completions[-1], around)
    return _not_queued(instance, to, again=bool(completions))


def _not_queued(instance: Row[Any], to: Destination, *, again: bool) -> tuple[Why, str]:
    """Why there is no item.

    :param again: there was one, until Totara lost the completion, which it has again.
    """
    if instance.ended_at is not None:
        return Why.LOST, f"was lost in Totara, as seen on {moment(instance.ended_at)}, and nothing was sent before"
    if instance.after_deletion:
        return Why.LEARNER_DELETED, (
            "is never sent, as its learner was already deleted in Totara when the bridge first saw it on "
            f"{moment(instance.first_seen_at)}"
        )
    if off := staged.not_met(instance, to.route):
        return Why.OFF_ROUTE, f"is off the route: {' and '.join(route.reason(to.route, each) for each in off)}"
    return _backfill_queues(instance, again=again)


def _backfill_queues(instance: Row[Any], *, again: bool) -> tuple[Why, str]:
    since = (instance.time_completed or instance.first_seen_at).astimezone(UTC)
    backfill = f"run backfill_completions from {since:%Y-%m-%d} or earlier to send it"
    if again:
        return Why.WAS_OFF_ROUTE, (
            "was queued, was lost in Totara before it was sent, and was not on the route when Totara had it again; it "
            f"is on the route now: {backfill}"
        )
    if instance.baseline is None:
        return Why.NO_BASELINE, f"counts as past, as no extract of its site has seen the destination yet: {backfill}"
    if instance.id <= instance.baseline:
        return Why.BEFORE_BASELINE, (
            f"lies before the destination's baseline of {moment(instance.baseline_at)}: {backfill}"
        )
    return Why.WAS_OFF_ROUTE, (
        f"is on the route now and was not when it was staged on {moment(instance.first_seen_at)}: {backfill}"
    )


def _amendment(instance: Row[Any], items: Sequence[Row[Any]], around: Surroundings) -> Iterator[tuple[Why, str]]:
    """What became of its latest revision or of its loss, where the destination has, or may have, the completion."""
    # a cancelled one says why for itself; a cancelled completion, only that it was not sent
    asked = [item for item in items if item.state != State.CANCELLED or item.kind != Kind.COMPLETION]
    told = max([item.revision for item in asked if item.kind != Kind.WITHDRAWAL] + [instance.has_revision or 0])
    withdrawn = max(
        [item.revision for item in asked if item.kind == Kind.WITHDRAWAL] + [instance.withdrawn_revision or 0]
    )
    later = [item for item in items if item.kind != Kind.COMPLETION]
    if later:
        fate = f"{clause(later[-1], around)}{waits_behind(later[-1], items, around)}"
        yield Why(later[-1].state), f"its {later[-1].kind} (revision {later[-1].revision}) {fate}"
    if instance.has_revision is None and not any(item.first_posted_at for item in items):
        return
    if instance.ended_at is None and told < instance.revision:
        revision = f"its revision {instance.revision} is not sent"
        yield Why.NOT_WANTED, f"{revision}, as the destination did not want corrections (bridge.toml)"
    if instance.ended_at is not None and withdrawn < instance.revision:
        loss = f"that Totara lost it, as seen on {moment(instance.ended_at)}, is not sent"
        yield Why.NOT_WANTED, f"{loss}, as the destination did not want withdrawals (bridge.toml)"


def _of_present(present: Present, pair: Pair) -> Answer:
    why, sentence = _no_instance(present, pair)
    return Answer(None, None, None, why, sentence)


def _no_instance(present: Present, pair: Pair) -> tuple[Why, str]:
    if present.query is None:
        return Why.NOT_STAGED, f"The site {pair.site} was never extracted: run extract_completions."
    if present.set_aside:
        return Why.SET_ASIDE, f"Its row in Totara was set aside, as {present.set_aside}: correct it in Totara."
    if present.deleted_at is not None:
        return Why.LOST, f"Totara has no such completion any more, as seen on {moment(present.deleted_at)}."
    if present.status is None:
        return Why.NOT_STAGED, _not_staged(present, pair)
    if Status(present.status) in {Status.COMPLETE, Status.COMPLETE_RPL}:
        return Why.NOT_STAGED, "It is completed in Totara, and becomes an instance with the next full compare."
    return Why.NOT_COMPLETED, f"The course is not completed now: Totara says {present.status}."


def _not_staged(present: Present, pair: Pair) -> str:
    unknown = [
        f"the {what} {number}"
        for what, number, known in (
            ("learner", pair.user_id, present.learner_known),
            ("course", pair.course_id, present.course_known),
        )
        if not known
    ]
    limited = not ReadQuery.model_validate_json(present.query or "{}").reads_everything
    reasons = ["an id is wrong", "the learner was never enrolled"]
    if limited:
        reasons.append("the query of the site's connection leaves the completion out")
    knows = f"any completion of {' or of '.join(unknown)}" if unknown else "a completion of this learner in this course"
    return f"The extracts of site {pair.site} never read {knows}: {', or '.join(reasons)}."
