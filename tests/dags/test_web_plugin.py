"""The one plugin file: the API server gets the bridge's app, and every other process pays nothing for it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

PLUGINS = Path(__file__).parents[2] / "plugins"
FILE = PLUGINS / "totara_bridge_plugin.py"

#: Asks Airflow what it has of the plugin, in a process of its own with another one's command line.
_BY_AIRFLOW = """
import json, sys
sys.argv = json.loads(sys.argv[1])
from airflow import plugins_manager
before = set(sys.modules)
apps, middlewares = plugins_manager.get_fastapi_plugins()
ours = {"totara_bridge", "fastapi", "starlette", "sqlalchemy", "psycopg", "uvicorn"}
print(json.dumps({
    "apps": [[each["name"], each["url_prefix"], type(each["app"]).__name__] for each in apps],
    "middlewares": len(middlewares),
    "errors": plugins_manager.get_import_errors(),
    "imported": sorted(name for name in set(sys.modules) - before if name.split(".")[0] in ours),
}))
"""

#: How many apps the file registers, for each of the command lines; the last is served by a server of its own.
_BY_COMMAND = """
import json, runpy, sys
file, *commands = sys.argv[1:]
from airflow.sdk.plugins_manager import AirflowPlugin
def apps(argv):
    sys.argv = argv.split()
    return len(runpy.run_path(file)["TotaraBridgePlugin"].fastapi_apps)
found = {argv: apps(argv) for argv in commands}
sys.modules["airflow.api_fastapi.main"] = sys
found["imported"] = apps("uvicorn airflow.api_fastapi.main:app")
print(json.dumps(found))
"""


def said(script: str, *arguments: str, home: Path) -> Any:
    """What a script prints in a process that has the plugin folder."""
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(PLUGINS),
        "TOTARA_BRIDGE_DATABASE_URL": "postgresql://nobody@localhost/nothing",
    }
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=240)
    return json.loads(done.stdout.splitlines()[-1])


def test_the_api_server_gets_the_app(tmp_path: Path) -> None:
    found = said(_BY_AIRFLOW, '["airflow", "api-server", "--workers", "2"]', home=tmp_path)
    assert found["apps"] == [["Totara Bridge", "/bridge", "FastAPI"]]
    assert (found["middlewares"], found["errors"]) == (0, {})
    assert "totara_bridge.staging.engine" in found["imported"]


def test_no_other_process_imports_anything_for_it(tmp_path: Path) -> None:
    found = said(_BY_AIRFLOW, '["airflow", "scheduler"]', home=tmp_path)
    assert found == {"apps": [], "middlewares": 0, "errors": {}, "imported": []}


def test_it_knows_the_api_server_however_it_is_started(tmp_path: Path) -> None:
    none = ["dag-processor", "triggerer", "celery worker", "tasks run", "dags list", "db migrate", "standalone"]
    commands = [*(f"airflow {command}" for command in none), "airflow api-server"]
    found = said(_BY_COMMAND, str(FILE), *commands, home=tmp_path)
    assert found == {**{f"airflow {command}": 0 for command in none}, "airflow api-server": 1, "imported": 1}


def test_there_is_one_file_of_wiring() -> None:
    files = [file for file in PLUGINS.rglob("*") if "__pycache__" not in file.parts]
    assert files == [FILE]
    assert len(FILE.read_text().splitlines()) < 40
