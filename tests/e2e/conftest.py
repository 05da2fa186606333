"""One running Airflow for every test of a DAG."""

import shutil
from collections.abc import Iterator

import pytest

from tests.e2e.bring_up import running
from tests.e2e.running import RunningAirflow
from tests.receivers import Mailbox, Webhook
from tests.short_lived import new_folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whichever test comes first brings it up."""
    for item in items:
        if "airflow_up" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="package")
def mailbox() -> Iterator[Mailbox]:
    """An SMTP server, the Connection ``alert_mail`` of the running Airflow."""
    with Mailbox() as taking:
        yield taking


@pytest.fixture(scope="package")
def webhook() -> Iterator[Webhook]:
    """An HTTP endpoint, the Connection ``alert_hook`` of the running Airflow."""
    with Webhook() as taking:
        yield taking


@pytest.fixture(scope="package")
def airflow_up(mailbox: Mailbox, webhook: Webhook) -> Iterator[RunningAirflow]:
    """A running Airflow over a staging database of 100 000 items, stopped when the tests end.

    A run of ``extract_completions`` is late after five seconds.
    """
    root = new_folder("tbr")
    environment = {
        "TOTARA_BRIDGE_EXTRACT__DEADLINE": "PT5S",
        "AIRFLOW_CONN_ALERT_MAIL": mailbox.connection(),
        "AIRFLOW_CONN_ALERT_HOOK": webhook.connection(),
    }
    try:
        with running(root, environment) as up:
            yield up
    finally:
        shutil.rmtree(root, ignore_errors=True)


#: Some that were sent were not, and Oracle did not know their courses: a half may be tried again, a half is dead.
_TROUBLE = (
    """
    UPDATE bridge.export_queue SET
        state = CASE WHEN mod(id, 2) = 0 THEN 'dead' ELSE 'failed' END, sent_at = NULL, reference = NULL,
        first_posted_at = coalesce(first_posted_at, queued_at), export_log_id = NULL, attempts = 1, failures = 1,
        next_attempt_at = now() + interval '1 day', error_class = 'rejected', error_code = 'ORA-20002',
        error_words = 'The course C' || id || ' is not known.'
    WHERE id IN (
        SELECT id FROM (
            SELECT q.id, row_number() OVER (PARTITION BY q.destination ORDER BY q.id DESC) AS nth
            FROM bridge.export_queue q JOIN bridge.completion_instance i ON i.id = q.instance_id
            WHERE q.state = 'sent' AND q.kind = 'completion' AND i.ended_at IS NULL
              AND NOT EXISTS (SELECT FROM bridge.export_queue other
                              WHERE other.instance_id = q.instance_id AND other.destination = q.destination
                                AND other.id <> q.id)) sent
        WHERE nth <= 300)
    """,
    """
    DELETE FROM bridge.delivery d USING bridge.export_queue q
    WHERE q.state IN ('dead', 'failed') AND (q.destination, q.instance_id, q.kind, q.revision)
                                            = (d.destination, d.instance_id, d.kind, d.revision)
    """,
)


@pytest.fixture
def trouble(airflow_up: RunningAirflow) -> None:
    """Failed and dead items of every destination, whatever other tests have made of those that there were."""
    for statement in _TROUBLE:
        airflow_up.change(statement)
