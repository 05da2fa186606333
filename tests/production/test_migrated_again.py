"""The service `migrate` may be run at any time: on databases of its own revision it changes nothing, and ends well."""

import subprocess
from collections import Counter

from tests.production.whole import Whole


def test_migrating_again_changes_nothing(production: Whole) -> None:
    before = _dumped(production)
    production.stack.run("migrate")
    for was, now in zip(before, _dumped(production), strict=True):
        assert (now - was, was - now) == (Counter(), Counter())


def _dumped(production: Whole) -> list[Counter[str]]:
    """Both schemas with what each role may do there; who may log in to Airflow, and what they may do."""
    return [
        _dump(production, "--schema-only", "airflow"),
        _dump(production, "--schema-only", "bridge"),
        _dump(production, "--data-only", "--inserts", "--table=ab_*", "--table=alembic_version*", "airflow"),
        _dump(production, "--data-only", "--inserts", "--table=bridge.*version*", "bridge"),
    ]


def _dump(production: Whole, *arguments: str) -> Counter[str]:
    environment = dict(production.stack.postgres.environment())
    dump = subprocess.run(["pg_dump", *arguments], env=environment, stdout=subprocess.PIPE, text=True, check=True)
    assert "PostgreSQL database dump complete" in dump.stdout
    return Counter(
        line for line in dump.stdout.splitlines() if not line.startswith(("\\restrict", "\\unrestrict", "--"))
    )
