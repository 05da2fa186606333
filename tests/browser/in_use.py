"""Makes the tests' 100 000 items look as a bridge does that works: most is sent, some of today waits or has failed.

For pictures. The tests' own data end three days ago, so that nothing in them changes while tests run.
"""

import psycopg

_LATER = "interval '2 days 22 hours'"

_SHIFT = f"""
    UPDATE bridge.export_queue SET
        staged_at = staged_at + {_LATER}, queued_at = queued_at + {_LATER},
        first_posted_at = first_posted_at + {_LATER},
        sent_at = CASE WHEN state = 'sent'
                       THEN least(sent_at + {_LATER}, now() - interval '3 minutes' * (id % 20)) END
"""
_SENT_BY_NOW = """
    UPDATE bridge.export_queue SET
        state = 'sent', sent_at = queued_at + interval '90 seconds', reference = 'R-' || instance_id,
        first_posted_at = coalesce(first_posted_at, queued_at + interval '1 minute'), attempts = 0, failures = 0,
        error_class = NULL, error_code = NULL, error_words = NULL, held_for = NULL, held_at = NULL,
        claim_token = NULL, claimed_from = NULL, claimed_at = NULL, lease_until = NULL
    WHERE state IN ('queued', 'failed', 'sending') AND queued_at < now() - interval '20 hours'
       OR state IN ('dead', 'held') AND queued_at < now() - interval '12 days'
"""
_WAITING = """
    UPDATE bridge.export_queue SET
        state = 'queued', sent_at = NULL, reference = NULL, first_posted_at = NULL, export_log_id = NULL,
        queued_at = now() - interval '20 seconds' * (id % 100)
    WHERE state = 'sent' AND queued_at > now() - interval '8 hours' AND id % 2 = 0
"""
_FAILED = """
    UPDATE bridge.export_queue SET
        state = 'failed', sent_at = NULL, reference = NULL, attempts = 1, failures = 1,
        next_attempt_at = now() + interval '1 minute' * (id % 30), error_class = 'unavailable', error_words = 'HTTP 503'
    WHERE state = 'sent' AND queued_at > now() - interval '20 hours' AND id % 5 = 0
"""
_FORGOTTEN = """
    DELETE FROM bridge.delivery d USING bridge.export_queue q
    WHERE q.state <> 'sent' AND (q.destination, q.instance_id, q.kind, q.revision)
                                = (d.destination, d.instance_id, d.kind, d.revision)
"""
_LEDGER = """
    INSERT INTO bridge.delivery (destination, instance_id, kind, revision, sent_at, reference)
    SELECT destination, instance_id, kind, revision, sent_at, reference FROM bridge.export_queue WHERE state = 'sent'
    ON CONFLICT DO NOTHING
"""
_LOG = f"UPDATE bridge.export_log SET at = least(at + {_LATER}, now() - interval '1 minute' * (id % 50))"
_HOURS = """
    DELETE FROM bridge.delivery_hour;
    INSERT INTO bridge.delivery_hour (destination, hour, delay_bucket, sent)
    SELECT destination, date_trunc('hour', sent_at, 'UTC'),
           CASE WHEN lane = 'backfill' THEN -1
                ELSE floor(4 * log(2, greatest(1, extract(epoch FROM sent_at - staged_at)))) END, count(*)
    FROM bridge.export_queue WHERE state = 'sent' GROUP BY 1, 2, 3
"""
#: A row for each minute, hour or more, as the age is; together they are what there is.
_COUNTS = """
    DELETE FROM bridge.item_count;
    INSERT INTO bridge.item_count (grain, at, destination, state, lane, came, went)
    SELECT grain, CASE grain WHEN 1 THEN date_trunc('minute', at) WHEN 2 THEN date_trunc('hour', at, 'UTC')
                             ELSE 'epoch' END, destination, state, lane, count(*), 0
    FROM (SELECT *, CASE WHEN at > now() - interval '24 hours' THEN 1 WHEN at > now() - interval '31 days' THEN 2
                         ELSE 3 END AS grain
          FROM (SELECT *, coalesce(sent_at, queued_at + interval '2 minutes') AS at
                FROM bridge.export_queue) dated) aged
    GROUP BY 1, 2, 3, 4, 5
"""
_EXTRACTED = f"""
    INSERT INTO bridge.extract_hour (site, hour, runs, changes)
    SELECT site, date_trunc('hour', first_seen_at + {_LATER}, 'UTC'), 4, count(*)
    FROM bridge.completion_instance WHERE first_seen_at > now() - interval '40 days' GROUP BY 1, 2
"""

_STATEMENTS = (_SHIFT, _SENT_BY_NOW, _WAITING, _FAILED, _FORGOTTEN, _LEDGER, _LOG, _HOURS, _COUNTS, _EXTRACTED)


def put_in_use(address: str) -> None:
    """Change the staging database so.

    :param address: ``postgresql://…`` of one that holds the tests' 100 000 items.
    """
    with psycopg.connect(address) as connection:
        for statement in _STATEMENTS:
            connection.execute(statement)
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("ANALYZE")
