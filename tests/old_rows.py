"""A staging database that was in use for 200 days before `NOW`, in SQL of the tests' own: what a purge is tried on."""

from sqlalchemy import Engine, text

from tests.items import NOW

#: Instances, of which each has an item, and some a correction too; as many requests.
COUNT = 3_000

# each state has its share at every age; of ten instances five are sent
_ITEMS = """
    INSERT INTO bridge.export_queue (
        destination, instance_id, kind, revision, idempotency_key, state, lane, next_attempt_at, claim_token,
        claimed_from, claimed_at, lease_until, payload, error_class, held_for, held_at, cancelled_by, staged_at,
        queued_at, first_posted_at, sent_at, export_log_id)
    SELECT destination, n, kind, CASE kind WHEN 'completion' THEN 1 ELSE 2 END, kind || n, state, 'fresh', at,
           CASE WHEN state = 'sending' THEN gen_random_uuid() END, CASE WHEN state = 'sending' THEN 'queued' END,
           CASE WHEN state = 'sending' THEN at END, CASE WHEN state = 'sending' THEN at END, '{}',
           CASE WHEN state IN ('failed', 'dead') THEN 'rejected' END, CASE WHEN state = 'held' THEN 'grade' END,
           CASE WHEN state = 'held' THEN at END, CASE WHEN state = 'cancelled' THEN 'ann' END, at, at,
           CASE WHEN state NOT IN ('held', 'queued') THEN at END,
           CASE WHEN state = 'sent' THEN at + interval '1 hour' END, n
    FROM (
        SELECT n, CASE WHEN n % 3 = 0 THEN 'archive' ELSE 'oracle' END AS destination, 'completion' AS kind,
               (ARRAY['dead', 'cancelled', 'held', 'failed', 'sending'])[n % 10 + 1] AS other,
               cast(:now AS timestamptz) - interval '200 days' * (:count - n) / :count AS at
        FROM generate_series(1, :count) n
        UNION ALL
        -- corrections, fifty days later: of what was sent, and of what a person cancelled
        SELECT n, CASE WHEN n % 3 = 0 THEN 'archive' ELSE 'oracle' END, 'correction',
               CASE WHEN n % 50 = 6 THEN 'queued' END,
               cast(:now AS timestamptz) - interval '200 days' * (:count - n) / :count + interval '50 days'
        FROM generate_series(1, :count) n WHERE n % 50 IN (5, 6, 7, 11) AND n < :count * 0.7
    ) drawn CROSS JOIN LATERAL (SELECT coalesce(other, 'sent') AS state) named
    ORDER BY at, kind
"""
_LEDGER = """
    INSERT INTO bridge.delivery (destination, instance_id, kind, revision, sent_at)
    SELECT destination, instance_id, kind, revision, sent_at FROM bridge.export_queue WHERE state = 'sent'
"""
_HOURS = """
    INSERT INTO bridge.delivery_hour (destination, hour, delay_bucket, sent)
    SELECT destination, date_trunc('hour', sent_at), 47, count(*) FROM bridge.export_queue
    WHERE state = 'sent' GROUP BY 1, 2
"""
_EVENTS = """
    INSERT INTO bridge.item_event (item_id, at, verb, actor, export_log_id)
    SELECT id, queued_at, 'retry', 'push', id FROM bridge.export_queue CROSS JOIN generate_series(1, 2)
    WHERE id % 2 = 1 ORDER BY id
"""
_LOG = """
    INSERT INTO bridge.export_log (batch, destination, at, duration_ms, items, outcome)
    SELECT gen_random_uuid(), CASE WHEN n % 3 = 0 THEN 'archive' ELSE 'oracle' END,
           cast(:now AS timestamptz) - interval '200 days' * (:count - n) / :count, 20, 1, 'sent'
    FROM generate_series(1, :count) n ORDER BY n
"""
_BODIES = """
    INSERT INTO bridge.kept_body (export_log_id, destination, at, request)
    SELECT id, destination, at, '{}' FROM bridge.export_log WHERE id % 2 = 0
"""
_DATED = """
    INSERT INTO bridge.acknowledgement (caller, site, user_id, course_id, change_seq, status, acknowledged_at)
    SELECT 'payroll', 'sbx', n, 1, n, 'processed', cast(:now AS timestamptz) - interval '8 hours' * n
    FROM generate_series(1, :count) n;
    INSERT INTO bridge.audit_log (at, actor, action, subject, details)
    SELECT cast(:now AS timestamptz) - interval '1 day' * n, 'ann', 'setting', 'batch_size', '{}'
    FROM generate_series(1, 1000) n;
    INSERT INTO bridge.alert (name, subject, words, raised_at, seen_at, resolved_at)
    SELECT 'silence', 'sbx' || n, 'It is silent.', at, at, CASE WHEN n % 10 > 0 THEN at + interval '1 hour' END
    FROM (SELECT n, cast(:now AS timestamptz) - interval '1 day' * n AS at FROM generate_series(1, 600) n) dated;
    INSERT INTO bridge.alert_notice (alert_id, event, channel, attempts)
    SELECT id, 'raised', 'smtp', 1 FROM bridge.alert
"""


def fill(staging: Engine, count: int = COUNT) -> None:
    """Write them into a database that has that many instances, numbered from 1, and nothing else."""
    values = {"now": NOW, "count": count}
    with staging.begin() as transaction:
        for statement in (_ITEMS, _LEDGER, _HOURS, _EVENTS, _LOG, _BODIES, *_DATED.split(";")):
            transaction.execute(text(statement), values)
    with staging.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
