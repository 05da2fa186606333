"""A version of the bridge at work in a process of its own: again and again it extracts and pushes, as tasks do.

Any version runs this file, with its own package and its own `tests.bridge`: nothing else may be imported from either.
"""

import json
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import psycopg
from sqlalchemy import NullPool, create_engine
from starlette.applications import Starlette

from tests.bridge import DESTINATION, Bridge
from totara_bridge import api_token
from totara_bridge.errors import SiteBusy
from totara_bridge.extract.enqueue import Wants
from totara_bridge.sandbox.oracle.server import SandboxOracle
from totara_bridge.staging import migrate
from totara_bridge.staging.database import staging

#: One more than threads that push.
_CONNECTIONS = 8

WANTS = Wants(DESTINATION, corrections=True, withdrawals=True)


def work(orders: Mapping[str, Any]) -> None:
    """Do a round for each line of input; what came of it is a line of output.

    :param orders: the address of Totara's database, those of Oracle with its credentials, and whether it all begins:
            somebody gets a token, and what was completed before is sent too.
    """
    totara = create_engine(orders["totara"], poolclass=NullPool)
    oracle = cast("SandboxOracle", SimpleNamespace(**orders["oracle"]))
    begins = orders["begins"]
    for _ in sys.stdin:
        said: dict[str, Any] = {}
        with staging(connections=_CONNECTIONS) as engine:
            bridge = Bridge(engine, totara)
            bridge.plan = replace(bridge.plan, destinations=[WANTS])
            with suppress(SiteBusy):  # the other version extracts it now
                said["queued"] = bridge.extract().queued
            if begins:
                bridge.backfill()
                with engine.begin() as transaction:
                    said["token"] = api_token.issue(transaction, caller="warehouse", by="ann", now=bridge.now).token
            said["sent"] = bridge.push(oracle).sent
        begins = False
        print(json.dumps(said), flush=True)  # noqa: T201


def pull() -> Starlette:
    """The Pull API alone, for uvicorn."""
    from totara_bridge.web.pull import alone  # noqa: PLC0415  a worker needs none of it

    _let_0006_accept()
    return alone()


def _let_0006_accept() -> None:
    """Let code that asks nobody accept what it works with.

    Code of 0006 refuses every other revision, also one that it works with: 0007 is the first that asks which.

    So it is told that the revision of the database, whichever it is, is its own.
    """
    if not hasattr(migrate, "require_newest"):
        return
    setattr(migrate, "newest_revision", _found)  # noqa: B010  mypy: this version's is another module's


def _found() -> str:
    with psycopg.connect(os.environ["TOTARA_BRIDGE_DATABASE_URL"]) as connection:
        [revision] = connection.execute("SELECT version_num FROM bridge.totara_bridge_alembic_version").fetchall()
        return str(revision[0])


if __name__ == "__main__":
    _let_0006_accept()
    work(json.loads(sys.argv[1]))
