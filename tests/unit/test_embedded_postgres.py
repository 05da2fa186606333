"""The embedded PostgreSQL is the real engine, at a version the bridge supports."""

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from totara_bridge.local.postgres import EmbeddedPostgres


def test_is_a_supported_postgresql(new_database: Callable[[str], str]) -> None:
    with psycopg.connect(new_database("version")) as connection:
        assert connection.info.server_version >= 150000


def test_a_path_too_long_for_a_socket_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="TOTARA_BRIDGE_HOME"):
        EmbeddedPostgres(tmp_path / ("x" * 90))
