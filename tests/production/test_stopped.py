"""Every service says that it is well, ends when Docker stops it, and is said not to be well any more.

The last test of this bridge: nothing of it runs afterwards.
"""

import time

from tests.production.whole import SERVICES, Whole

#: Those that ask others come before those that they ask.
_ORDER = (
    "sandbox", "pull", "worker-company", "worker", "triggerer", "dag-processor", "scheduler", "redis", "api-server",
)  # fmt: skip


def test_without_its_database_the_pull_api_is_not_well(production: Whole) -> None:
    assert production.stack.healthy("postgres")
    assert production.stack.healthy("pull")
    with production.airflow.staging_down():
        assert not production.stack.healthy("pull")
    production.stack.until_healthy("pull")


def test_each_is_well_until_it_is_stopped(production: Whole) -> None:
    services = {**SERVICES, "sandbox": "sandbox"}
    assert set(_ORDER) == set(services)
    for called in _ORDER:
        production.stack.until_healthy(services[called], called=called)
    for called in _ORDER:
        assert production.stack.stop(services[called], called=called), f"{called} did not stop when it was told to"
        while production.stack.healthy(services[called], called=called):
            time.sleep(1)  # what the API server knows of another service is half a minute old
    production.stack.postgres.stop()
    assert not production.stack.healthy("postgres")
