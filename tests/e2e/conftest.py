"""One running Airflow for every test of a DAG."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.bring_up import running
from tests.e2e.running import RunningAirflow
from tests.receivers import Mailbox, Webhook


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run what needs the one running Airflow after what brings up another."""
    for item in (found := [item for item in items if "airflow_up" in getattr(item, "fixturenames", ())]):
        item.add_marker(pytest.mark.timeout(600))  # whichever comes first brings it up
    items.sort(key=found.__contains__)


@pytest.fixture(scope="session")
def mailbox() -> Iterator[Mailbox]:
    """An SMTP server, the Connection ``alert_mail`` of the running Airflow."""
    with Mailbox() as taking:
        yield taking


@pytest.fixture(scope="session")
def webhook() -> Iterator[Webhook]:
    """An HTTP endpoint, the Connection ``alert_hook`` of the running Airflow."""
    with Webhook() as taking:
        yield taking


@pytest.fixture(scope="session")
def airflow_up(mailbox: Mailbox, webhook: Webhook) -> Iterator[RunningAirflow]:
    """A running Airflow over a staging database of 100 000 items, stopped when the tests end.

    A run of ``extract_completions`` is late after five seconds.
    """
    root = Path(tempfile.mkdtemp(prefix="tbr", dir="/tmp"))
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
