"""Whatever the OpenAPI document allows is served, whatever it forbids is refused, and every answer is as it says.

schemathesis makes up the requests, against a real server over rows of all kinds. ``make fuzz`` asks thousands of them.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.staging_roles import PULL, address_as
from tests.web import of_all_kinds
from tests.web.fuzz import CURSORS
from tests.web.puller import Puller
from tests.web.serving import serving
from totara_bridge.web.pull import alone
from totara_bridge.web.pull.app import PREFIX

HERE = Path(__file__).parent

FEEDS = ("/completions", "/users", "/courses")

#: Made up for each address, at most.
CASES = int(os.environ.get("TOTARA_BRIDGE_FUZZ_CASES", "10"))

#: With the same seed the same is made up again; at random, the seed is told.
SEED = os.environ.get("TOTARA_BRIDGE_FUZZ_SEED", "1")


@pytest.fixture
def served(
    copy_of: Callable[[str], Engine], of_all_kinds_template: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Puller]:
    """A caller of the Pull API as it runs alone, over rows of all kinds."""
    staging = copy_of(of_all_kinds_template)
    monkeypatch.setenv("TOTARA_BRIDGE_DATABASE_URL", address_as(staging, PULL))
    token = of_all_kinds.new_token(staging)
    with serving(alone(), lifespan="on") as host, Puller(host + PREFIX, token) as calling:
        yield calling


@pytest.mark.timeout(0)
def test_the_pull_api_does_what_its_document_says(served: Puller, tmp_path: Path) -> None:
    """Fails with the words of schemathesis."""
    program = [str(Path(sys.executable).with_name("schemathesis")), "--no-color"]
    program += [f"--config-file={HERE / 'fuzz' / 'schemathesis.toml'}", "run", f"{served.address}/openapi.json"]
    program += [f"--header=X-Api-Key: {served.session.headers['X-Api-Key']!s}"]
    program += ["--checks=all", "--continue-on-failure", f"--max-examples={CASES}"]
    program += [] if SEED == "random" else [f"--seed={SEED}"]
    cursors = {path: served.fetch(path, limit=1)["cursor"] for path in FEEDS}
    done = subprocess.run(
        program,
        cwd=tmp_path,  # it leaves files there
        env=os.environ | {CURSORS: json.dumps(cursors), "PYTHONPATH": str(HERE.parents[1])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    sys.stdout.write(done.stdout)  # make fuzz shows it
    assert done.returncode == 0, done.stdout
    made_up = re.search(r"(\d+) generated", done.stdout)
    assert made_up is not None
    assert int(made_up[1]) > 300
    assert served.fetch(limit=1)["items"]
