"""What each role of the staging database may do: no more than the processes that are it need.

One role owns the schema and migrates it; the others are granted what stands here, and after each migration they have
that and nothing else. A server without these roles has one that may do everything: nothing is done there.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import Engine, text

from totara_bridge.staging.engine import Transaction
from totara_bridge.staging.schema import SCHEMA

log = logging.getLogger(__name__)


class Granted(NamedTuple):
    """What each role may do with a table, as GRANT has it; none: it may not even read it."""

    bridge_tasks: str | None  #: the tasks of DAGs, and the maintainer's commands
    bridge_panel: str | None  #: Airflow's API server: the control panel, and the Pull API inside it
    bridge_pull: str | None  #: the Pull API alone


_READ = "SELECT"
_ADD = "SELECT, INSERT"
_WRITE = "SELECT, INSERT, UPDATE"
_ALL = "SELECT, INSERT, UPDATE, DELETE"

# what an item and an instance are called and whose they are, nobody changes
_ITEM = """
    state, lane, revision, attempts, failures, next_attempt_at, claim_token, claimed_from, claimed_at, lease_until,
    payload, template, error_class, error_code, error_words, held_for, held_at, cancelled_by, reference, export_log_id,
    first_posted_at, shadowed_at, sent_at
"""
_INSTANCE = """
    row_id, history_id, status, time_completed, time_completed_until, first_time_completed, ordinal, revision,
    first_seen_at, revised_at, archived_at, ended_at
"""
_ADMITTED = "id, caller, sha256, scopes, networks, expires_at, revoked_at, last_used_at"
_ENDED = "expires_at, revoked_at, revoked_by"
_PACE = "SELECT, INSERT, UPDATE (paid_until)"
_ACKNOWLEDGE = "SELECT, INSERT, UPDATE (change_seq, status, reference, message, acknowledged_at)"

#: Every table of the schema. Whoever locks rows of one, too, needs an UPDATE, of one column at least; what a foreign
#: key deletes needs nothing.
TABLES: Mapping[str, Granted] = {
    "totara_bridge_alembic_version": Granted(_READ, _READ, _READ),
    "compatibility": Granted(_READ, _READ, _READ),
    # what Totara has
    "site": Granted("SELECT, INSERT, UPDATE (connection, fingerprint)", _READ, _READ),
    "learner": Granted(_ALL, _READ, _READ),
    "course": Granted(_WRITE, _READ, _READ),
    "audience_member": Granted("SELECT, INSERT, DELETE", _READ, None),
    "completion": Granted(_WRITE, _READ, _READ),
    "completion_instance": Granted(f"SELECT, INSERT, UPDATE ({_INSTANCE})", _READ, _READ),
    "watermark": Granted(_WRITE, _READ, "SELECT (site, extracted_at)"),
    "extract_hour": Granted("SELECT, INSERT, UPDATE (runs, changes)", _READ, None),
    "set_aside": Granted(_ALL, _READ, None),
    "erased_learner": Granted(_ADD, _READ, _READ),
    "crawl": Granted("SELECT, INSERT, UPDATE (began_at, ended_at)", None, None),
    "crawled_pair": Granted(_ALL, None, None),
    "loaded_file": Granted(_ADD, None, None),
    # what destinations get
    "export_queue": Granted(
        f"SELECT, INSERT, UPDATE ({_ITEM}), DELETE",
        _READ,
        "SELECT (id, destination, state, lane, staged_at, shadowed_at)",
    ),
    "item_event": Granted("SELECT, INSERT, UPDATE (words)", _READ, "SELECT (item_id, at, verb)"),
    "delivery": Granted("SELECT, INSERT, UPDATE (reference)", _READ, None),
    "destination_state": Granted(_WRITE, _READ, "SELECT (destination, down_since, reason, changed_at)"),
    "export_log": Granted("SELECT, INSERT, UPDATE (error), DELETE", _READ, None),
    "kept_body": Granted("SELECT, INSERT, DELETE", _READ, None),
    "baseline": Granted("SELECT, INSERT, UPDATE (instance_id)", _READ, None),
    "payload_template": Granted(_ADD, _READ, None),
    "mapping": Granted(_ALL, None, None),
    "item_count": Granted("SELECT, INSERT, DELETE", _READ, None),
    "delivery_hour": Granted("SELECT, INSERT, UPDATE (sent)", _READ, _READ),
    # what reconciles found
    "reconciliation": Granted("SELECT, INSERT, DELETE", _READ, _READ),
    "reconciled_count": Granted("SELECT, INSERT, DELETE", _READ, None),
    "reconciled_difference": Granted("SELECT, INSERT, DELETE", _READ, None),
    # what people set and are told
    "setting": Granted(_ALL, _ALL, _READ),
    "audit_log": Granted("SELECT, INSERT, DELETE", _ADD, "SELECT (at, action, subject, details)"),
    "alert": Granted(_ALL, _READ, None),
    "alert_notice": Granted("SELECT, INSERT, UPDATE (attempts, sent_at, error)", _READ, None),
    # who may pull, and what they said
    "api_token": Granted(
        f"SELECT, INSERT, UPDATE ({_ENDED})",
        f"SELECT, INSERT, UPDATE ({_ENDED}, last_used_at)",
        f"SELECT ({_ADMITTED}), UPDATE (last_used_at)",
    ),
    "api_token_pace": Granted(None, _PACE, _PACE),
    "acknowledgement": Granted("SELECT, DELETE, UPDATE (acknowledged_at)", _ACKNOWLEDGE, _ACKNOWLEDGE),
}

#: Only the next number, never another one: a cursor must not skip a change.
SEQUENCES: Mapping[str, Granted] = {
    name: Granted("USAGE", None, None) for name in ("change_seq", "learner_change_seq", "course_change_seq")
}


def grant(engine: Engine) -> Sequence[str]:
    """Give the roles that there are what they may do, and take whatever else they could; the roles.

    :param engine: of the schema's owner, on a database of this code's own revision.
    """
    with engine.begin() as transaction:
        roles = [role for role in Granted._fields if _is_to_be_granted(transaction, role)]
        for statement in _statements(roles) if roles else ():
            transaction.execute(text(statement))
    if roles:
        log.info("May do in the staging database what they need, and nothing else: %s.", ", ".join(roles))
    return roles


def _statements(roles: Sequence[str]) -> Iterator[str]:
    # CASCADE: also what they have passed on; and what everybody may, they may
    everybody = ", ".join([*roles, "PUBLIC"])
    for kind in ("TABLES", "SEQUENCES", "ROUTINES"):
        yield f"REVOKE ALL ON ALL {kind} IN SCHEMA {SCHEMA} FROM {everybody} CASCADE"
    yield f"REVOKE ALL ON SCHEMA {SCHEMA} FROM {everybody} CASCADE"
    yield f"GRANT USAGE ON SCHEMA {SCHEMA} TO {', '.join(roles)}"
    for kind, listed in (("TABLE", TABLES), ("SEQUENCE", SEQUENCES)):
        for name, granted in listed.items():
            for role in roles:
                if (privileges := getattr(granted, role)) is not None:
                    yield f"GRANT {privileges} ON {kind} {SCHEMA}.{name} TO {role}"


def _is_to_be_granted(transaction: Transaction, role: str) -> bool:
    """Whether the server has the role, and privileges limit it."""
    limited = transaction.execute(_LIMITED, {"role": role}).scalar_one_or_none()
    if limited is False:
        log.warning(
            "The role %s may do everything in the staging database, as it owns it, is a member of the role that does, "
            "or is a superuser: give the process that is it a role of its own.",
            role,
        )
    return bool(limited)


_LIMITED = text(
    f"""
    SELECT NOT pg_has_role(r.oid, n.nspowner, 'MEMBER') FROM pg_roles r, pg_namespace n
    WHERE r.rolname = :role AND n.nspname = '{SCHEMA}'
    """
)
