"""A staging database of 100 000 items in use for 400 days: states, errors, ages, learners and courses as they spread.

Written by SQL of the tests' own, in seconds: nothing of the bridge is asked to make what it is then asked about.
"""

import psycopg

#: The Totara that all of it comes from; its turn to be extracted never comes.
SITE = "big"
#: Destination: how many items it has; it wants every instance.
ITEMS = {"oracle": 60_000, "archive": 40_000}
#: Items of ``oracle`` that died within the last hour.
JUST_DEAD = 25
LEARNERS = 5_000
COURSES = 240
INSTANCES = 60_000

_LEARNERS = f"""
    INSERT INTO bridge.learner (site, user_id, username, id_number, email, first_name, last_name, suspended, changed_at)
    SELECT '{SITE}', n, 'learner' || lpad(n::text, 4, '0'), 'E-' || lpad(n::text, 5, '0'),
           'learner' || lpad(n::text, 4, '0') || '@example.com', 'Forename' || n, 'Surname' || n, n % 50 = 0,
           now() - interval '400 days'
    FROM generate_series(1, {LEARNERS}) n
"""
_COURSES = f"""
    INSERT INTO bridge.course (site, course_id, category_id, short_name, id_number, full_name, category_path, visible,
                               changed_at)
    SELECT '{SITE}', n, 1 + n % 7, CASE WHEN n % 4 = 0 THEN 'SAFETY-' ELSE 'COURSE-' END || lpad(n::text, 3, '0'),
           'C' || lpad(n::text, 3, '0'), 'The course ' || n, '/' || 1 + n % 7, true, now() - interval '400 days'
    FROM generate_series(1, {COURSES}) n
"""

# A learner's twelve courses differ; every instance is a minute or more older than the next.
_INSTANCES = f"""
    INSERT INTO bridge.completion_instance (
        site, user_id, course_id, row_id, status, time_completed, first_time_completed, ordinal, revision, record_key,
        after_deletion, first_seen_at, ended_at)
    SELECT '{SITE}', 1 + (n - 1) % {LEARNERS}, 1 + (n - 1) / {LEARNERS} * 20 + n % 20, n,
           CASE WHEN n % 9 = 0 THEN 'complete_rpl' ELSE 'complete' END, completed, completed, 0, 1,
           'TB' || upper(left(md5('key' || n), 26)), n % 1000 = 7, completed + interval '40 minutes',
           CASE WHEN n % 1000 = 8 THEN now() - interval '1 hour' END
    FROM (SELECT n, date_trunc('second', now() - interval '400 days' * ({INSTANCES} - n) / {INSTANCES}
                                       - interval '3 days') AS completed
          FROM generate_series(1, {INSTANCES}) n) dated
    ORDER BY n
"""
_COMPLETIONS = """
    INSERT INTO bridge.completion (site, user_id, course_id, row_id, status, progress, time_completed, changed_at)
    SELECT site, user_id, course_id, row_id, status, 100, time_completed, first_seen_at
    FROM bridge.completion_instance ORDER BY id
"""

# Out of 1000 and by chance, but each time the same: who the learner is says nothing about the state.
_CHANCE = "('x' || left(md5(destination || i.id), 6))::bit(24)::int % 1000"
_ITEMS = f"""
    INSERT INTO bridge.export_queue (
        destination, instance_id, kind, revision, idempotency_key, state, lane, attempts, failures, next_attempt_at,
        claim_token, claimed_from, claimed_at, lease_until, payload, template, error_class, error_code, error_words,
        held_for, held_at, cancelled_by, reference, export_log_id, staged_at, queued_at, first_posted_at, sent_at)
    SELECT destination, instance_id, 'completion', 1, record_key, state, lane,
           CASE state WHEN 'failed' THEN 3 WHEN 'dead' THEN 10 ELSE 0 END,
           CASE state WHEN 'failed' THEN 3 WHEN 'dead' THEN 10 ELSE 0 END,
           CASE state WHEN 'failed' THEN now() + interval '6 hours' ELSE queued_at END,
           CASE WHEN state = 'sending' THEN gen_random_uuid() END, CASE WHEN state = 'sending' THEN 'queued' END,
           CASE WHEN state = 'sending' THEN now() END, CASE WHEN state = 'sending' THEN now() + interval '1 day' END,
           payload, 'default/2', (error).class, (error).code, replace((error).words, '#', instance_id::text),
           CASE WHEN state = 'held' THEN 'learner_number' END, CASE WHEN state = 'held' THEN queued_at END,
           CASE WHEN state = 'cancelled' THEN CASE WHEN posted THEN 'anna' ELSE 'extract' END END,
           CASE WHEN state = 'sent' THEN 'R-' || instance_id END,
           CASE WHEN posted THEN 2 * (row_number() OVER (PARTITION BY destination ORDER BY queued_at) / per_request)
                                 + CASE destination WHEN 'oracle' THEN 1 ELSE 2 END END,
           first_seen_at, queued_at, CASE WHEN posted THEN queued_at + interval '1 minute' END,
           CASE WHEN state = 'sent' THEN queued_at + delay END
    FROM (
        SELECT *, state IN ('sent', 'failed', 'dead', 'sending') OR state = 'cancelled' AND chance % 2 = 0 AS posted,
               CASE WHEN state IN ('failed', 'dead')
                    THEN (ARRAY[ROW('unavailable', NULL, 'HTTP 503'),
                                ROW('timeout', NULL, 'no answer in time'),
                                ROW('rejected', 'ORA-20001', 'There is no person E-#.'),
                                ROW('rejected', 'ORA-20002', 'The course C# is not known.'),
                                ROW('too_large', NULL, 'The item is too large.')]::pg_temp.item_error[])[1 + chance % 5]
               END AS error,
               json_build_object(
                   'idempotencyKey', record_key, 'recordKey', record_key, 'kind', 'completion', 'revision', 1,
                   'site', site, 'userId', user_id, 'courseId', course_id, 'status', status, 'progress', NULL,
                   'timecompleted', to_char(time_completed AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
                   'user', json_build_object('username', username, 'idnumber', id_number, 'email', email,
                                             'firstname', first_name, 'lastname', last_name),
                   'course', json_build_object('shortname', short_name, 'idnumber', course_number,
                                               'fullname', full_name))::text AS payload
        FROM (
            SELECT i.id AS instance_id, i.*, l.username, l.id_number, l.email, l.first_name, l.last_name,
                   k.short_name, k.id_number AS course_number, k.full_name, d.destination,
                   d.items / 600 AS per_request, c.chance,
                   CASE WHEN c.chance < 850 THEN 'sent' WHEN c.chance < 890 THEN 'queued'
                        WHEN c.chance < 920 THEN 'failed' WHEN c.chance < 960 THEN 'dead'
                        WHEN c.chance < 979 THEN 'held' WHEN c.chance < 980 THEN 'sending'
                        ELSE 'cancelled' END AS state,
                   CASE WHEN i.id % 5 = 0 THEN 'backfill' WHEN i.id % 7 = 0 THEN 'retry' ELSE 'fresh' END AS lane,
                   i.first_seen_at + interval '1 second' AS queued_at,
                   interval '1 second' * (30 + c.chance * c.chance / 10) AS delay
            FROM bridge.completion_instance i
            JOIN bridge.learner l USING (site, user_id) JOIN bridge.course k USING (site, course_id)
            CROSS JOIN (VALUES {", ".join(f"('{code}', {count})" for code, count in ITEMS.items())})
                 AS d (destination, items)
            CROSS JOIN LATERAL (SELECT {_CHANCE} AS chance) c
            WHERE d.items = {INSTANCES} OR i.id % 3 > 0
        ) drawn
    ) told
    ORDER BY told.queued_at, told.destination
"""
_LOG = """
    INSERT INTO bridge.export_log (id, batch, destination, at, duration_ms, items, http_status, outcome, error)
    OVERRIDING SYSTEM VALUE
    SELECT q.export_log_id, gen_random_uuid(), q.destination, min(coalesce(q.sent_at, q.queued_at)),
           20 + q.export_log_id % 300, count(*), CASE WHEN q.export_log_id % 40 = 0 THEN 503 ELSE 200 END,
           CASE WHEN q.export_log_id % 40 = 0 THEN 'unavailable' ELSE 'sent' END,
           CASE WHEN q.export_log_id % 40 = 0 THEN 'HTTP 503' END
    FROM bridge.export_queue q WHERE q.export_log_id IS NOT NULL
    GROUP BY q.export_log_id, q.destination ORDER BY q.export_log_id
"""
_BODIES = """
    INSERT INTO bridge.kept_body (export_log_id, destination, at, request, answer)
    SELECT id, destination, at, '{"items":[]}', '{"results":[]}' FROM bridge.export_log WHERE id % 10 = 0
"""
_EVENTS = """
    INSERT INTO bridge.item_event (item_id, at, verb, actor, words, export_log_id)
    SELECT id, queued_at + interval '2 minutes', verb, CASE verb WHEN 'cancel' THEN cancelled_by ELSE 'push' END,
           error_words, export_log_id
    FROM (SELECT *, CASE state WHEN 'failed' THEN 'retry' WHEN 'dead' THEN 'reject' WHEN 'cancelled' THEN 'cancel'
                               WHEN 'sent' THEN 'retry' END AS verb
          FROM bridge.export_queue) q
    WHERE verb IS NOT NULL AND (state <> 'sent' OR id % 10 = 0)
    ORDER BY queued_at
"""
_JUST_DEAD = f"""
    UPDATE bridge.item_event SET at = now() - interval '5 minutes'
    WHERE id IN (SELECT e.id FROM bridge.item_event e JOIN bridge.export_queue q ON q.id = e.item_id
                 WHERE e.verb = 'reject' AND q.destination = 'oracle' ORDER BY e.id DESC LIMIT {JUST_DEAD})
"""
_LEDGER = """
    INSERT INTO bridge.delivery (destination, instance_id, kind, revision, sent_at, reference)
    SELECT destination, instance_id, kind, revision, sent_at, reference FROM bridge.export_queue WHERE state = 'sent'
"""
_HOURS = """
    INSERT INTO bridge.delivery_hour (destination, hour, delay_bucket, sent)
    SELECT destination, date_trunc('hour', sent_at, 'UTC'),
           CASE WHEN lane = 'backfill' THEN -1 ELSE floor(4 * log(2, extract(epoch FROM sent_at - staged_at))) END,
           count(*)
    FROM bridge.export_queue WHERE state = 'sent' GROUP BY 1, 2, 3
"""
_ACKNOWLEDGED = f"""
    INSERT INTO bridge.acknowledgement (caller, site, user_id, course_id, change_seq, status, acknowledged_at)
    SELECT 'payroll', site, user_id, course_id, change_seq, 'processed',
           now() - interval '800 days' * row_id / {INSTANCES}
    FROM bridge.completion WHERE row_id % 20 = 0
"""
_AUDIT = """
    INSERT INTO bridge.audit_log (at, actor, action, subject, details)
    SELECT now() - interval '1 day' * n, 'anna', 'setting', 'batch_size', '{"to": 100}' FROM generate_series(1, 1000) n
"""
_ALERTS = """
    INSERT INTO bridge.alert (name, subject, words, raised_at, seen_at, resolved_at)
    SELECT 'silence', 'sbx', 'The site sbx was not extracted.', at, at, at + interval '1 hour'
    FROM (SELECT now() - interval '2 days' * n AS at FROM generate_series(1, 300) n) dated
"""
_KNOWN = f"""
    INSERT INTO bridge.site (code, connection, fingerprint, first_seen_at)
    VALUES ('{SITE}', 'totara_big', 1, now() - interval '400 days');
    INSERT INTO bridge.watermark (site, log_id, read_at, extracted_at, compared_at, query)
    VALUES ('{SITE}', 1, extract(epoch FROM now()), now(), now(), '{{}}');
    INSERT INTO bridge.baseline (destination, site, instance_id, created_at)
    SELECT code, '{SITE}', 0, now() - interval '400 days' FROM unnest(ARRAY{list(ITEMS)}) code
"""

_STATEMENTS = (
    "CREATE TYPE pg_temp.item_error AS (class text, code text, words text)",
    _LEARNERS, _COURSES, _INSTANCES, _COMPLETIONS, _ITEMS, _LOG, _BODIES, _EVENTS, _JUST_DEAD, _LEDGER, _HOURS,
    _ACKNOWLEDGED, _AUDIT, _ALERTS, _KNOWN,
    "SELECT setval(pg_get_serial_sequence('bridge.export_log', 'id'), (SELECT max(id) FROM bridge.export_log))",
)  # fmt: skip


def fill(address: str) -> None:
    """Write it into a migrated staging database that is empty.

    :param address: ``postgresql://…``.
    """
    with psycopg.connect(address) as connection:
        for statement in _STATEMENTS:
            connection.execute(statement)
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("ANALYZE")
