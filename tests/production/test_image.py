"""What the image is made of: all of the package, nothing else, pinned; and it works where there is no checkout."""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.production.dockerfile import PROJECT, stages, taken

_PACKAGE = PROJECT / "include" / "totara_bridge"

#: For whoever writes the page's modules: no browser asks for them.
_FOR_EDITORS = {"jsconfig.json", "globals.d.ts"}

#: Asks an installed bridge for one thing of each kind that lies beside its code.
_ASKED = """
import json, sys
sys.argv = ["airflow", "api-server"]
import totara_bridge
from airflow import plugins_manager
from airflow.dag_processing.dagbag import DagBag
from airflow.providers_manager import ProvidersManager
from fastapi.testclient import TestClient
from totara_bridge.web.panel.pages import pages
bag = DagBag()
apps, _ = plugins_manager.get_fastapi_plugins()
with TestClient(apps[0]["app"]) as client:
    page = "/" + pages()[0]["bundle_url"]
    served = client.get(page.removeprefix(apps[0]["url_prefix"]))
print("said " + json.dumps({
    "package": totara_bridge.__file__,
    "dags": sorted(bag.dags),
    "dag errors": bag.import_errors,
    "plugin errors": plugins_manager.get_import_errors(),
    "apps": [each["name"] for each in apps],
    "page": [page, served.status_code, len(served.content)],
    "connection types": sorted(name for name in ProvidersManager().hooks if name.startswith(("totara", "oracle_c"))),
}))
"""


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the Dockerfile takes from the project, and nothing else."""
    folder = tmp_path_factory.mktemp("context")
    for source, target in taken(stages()[1]).items():
        place = folder / (source if target.startswith("./") else target)
        if (PROJECT / source).is_dir():
            shutil.copytree(PROJECT / source, place, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(PROJECT / source, place)
    return folder


@pytest.fixture(scope="module")
def wheel(context: Path) -> Path:
    """Built as the Dockerfile builds it."""
    command = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", "wheel", "."]
    subprocess.run([sys.executable, *command], cwd=context, check=True, timeout=240)
    (built,) = (context / "wheel").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with the wheel, and with the packages that are installed here besides."""
    environment = tmp_path_factory.mktemp("image") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True, timeout=120)
    python = environment / "bin" / "python"
    packages = Path(sysconfig.get_path("purelib", "venv", {"base": str(environment)}))
    # a folder named in a .pth is searched, but its own .pth files, which lead to the checkout, are not read
    (packages / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    install = ["-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index", str(wheel)]
    subprocess.run([sys.executable, *install], check=True, timeout=120)
    return python


def test_the_wheel_has_every_file_of_the_package(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as opened:
        packed = {name for name in opened.namelist() if ".dist-info/" not in name}
    files = (each for each in _PACKAGE.rglob("*") if each.is_file() and "__pycache__" not in each.parts)
    here = {each.relative_to(_PACKAGE.parent).as_posix() for each in files if each.name not in _FOR_EDITORS}
    assert packed == here


def test_an_installed_bridge_needs_no_checkout(
    context: Path, python: Path, tmp_path: Path, new_database: Callable[[str], str]
) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__DAGS_FOLDER": str(context / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(context / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "TOTARA_BRIDGE_CONFIG": str(context / "bridge.toml"),
        "TOTARA_BRIDGE_DATABASE_URL": new_database("image"),
    }

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [python, *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    assert "The staging database is at revision" in run("-m", "totara_bridge.staging.migrate")
    (said,) = re.findall(r"^said (.*)$", run("-c", _ASKED), re.MULTILINE)
    found: dict[str, Any] = json.loads(said)
    assert Path(found["package"]).is_relative_to(python.parents[1])
    assert found["dags"] == sorted(file.stem for file in (PROJECT / "dags").glob("*.py"))
    assert found["dag errors"] == {}
    assert found["plugin errors"] == {}
    assert found["apps"] == ["Totara Bridge"]
    page, status, size = found["page"]
    assert status == 200, page
    assert size > 0, page
    assert {"totara", "oracle_completions"} <= set(found["connection types"])


def test_the_base_is_an_exact_version_and_the_same_in_every_stage() -> None:
    before, *later = stages()
    (argument,) = before
    assert re.fullmatch(r"PYTHON_IMAGE=python:3\.1[123]\.\d+-slim-bookworm(@sha256:[0-9a-f]{64})?", argument.words[0])
    assert {stage[0].words[0] for stage in later} == {"${PYTHON_IMAGE}"}


def test_everything_that_it_copies_is_there_and_goes_to_the_build() -> None:
    rules = (PROJECT / ".dockerignore").read_text().splitlines()
    assert next(each for each in rules if not each.startswith("#")) == "*"
    let_in = {each.removeprefix("!") for each in rules if each.startswith("!")}
    sources = {source for stage in stages() for source in taken(stage)}
    assert sources == let_in
    for each in sources:
        assert (PROJECT / each).exists(), each


def test_no_service_runs_as_root() -> None:
    users = [each.words for each in stages()[-1] if each.name == "USER"]
    assert users == [("50000:0",)]
    assert stages()[-1][-1].name == "ENTRYPOINT"


def test_no_secret_is_an_argument_or_in_the_environment_of_the_image() -> None:
    told = [word for stage in stages() for each in stage if each.name in ("ARG", "ENV") for word in each.words]
    assert told
    for each in told:
        assert not re.search("PASSWORD|SECRET|TOKEN|KEY|_URL|CREDENTIAL", each.split("=")[0].upper()), each


def test_every_package_is_of_the_lock() -> None:
    commands = [" ".join(each.words) for each in stages()[1] if each.name == "RUN"]
    installs = [each for command in commands for each in command.split("&&") if re.search(r"pip .*install ", each)]
    assert len(installs) == 4
    for each in installs:
        assert "--require-hashes" in each or "--no-index" in each or "uninstall" in each, each


def test_it_says_the_version_of_the_package() -> None:
    version = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]
    labels = [word for each in stages()[-1] if each.name == "LABEL" for word in each.words]
    assert f"org.opencontainers.image.version={version}" in labels
