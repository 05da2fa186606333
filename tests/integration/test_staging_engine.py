"""Connections to staging are the same whatever the server's own settings are."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, text

from tests.bridge import Bridge
from totara_bridge.staging.engine import staging_engine


@pytest.fixture
def east(staging: Engine) -> Iterator[Engine]:
    """A staging database whose server is far east of UTC, used as the product uses it."""
    with staging.begin() as connection:
        connection.execute(text(f"ALTER DATABASE {staging.url.database} SET timezone = 'Pacific/Auckland'"))
    staging.dispose()
    engine = staging_engine(staging.url.render_as_string(hide_password=False))
    yield engine
    engine.dispose()


def test_the_last_moment_that_there_is_stops_nothing_east_of_utc(east: Engine, totara: Engine) -> None:
    bridge = Bridge(east, totara)
    bridge.extract()
    bridge.later(minutes=1)
    for at in (253_402_300_799, 1_600_000_000):
        bridge.totara.complete(*bridge.totara.pair_with(status=25), at=at)
    assert bridge.extract().queued == 2
    rows = bridge.rows("SELECT payload::json ->> 'timecompleted' AS time FROM bridge.export_queue ORDER BY 1")
    assert [row["time"] for row in rows] == ["2020-09-13T12:26:40Z", "9999-12-31T23:59:59Z"]


def test_options_of_the_address_are_kept(east: Engine) -> None:
    engine = staging_engine(
        east.url.update_query_dict({"options": "-c search_path=bridge"}).render_as_string(hide_password=False)
    )
    with engine.connect() as connection:
        found = [connection.execute(text(f"SHOW {name}")).scalar_one() for name in ("search_path", "timezone")]
    engine.dispose()
    assert found == ["bridge", "UTC"]
