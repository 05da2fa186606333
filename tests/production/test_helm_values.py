"""The values for the official Helm chart, and the Pull API's manifest beside them, say what the compose file says.

That the chart takes them only Helm can tell: it refuses keys that it does not know.
"""

import os
import re
import subprocess
import time
import tomllib
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from airflow.configuration import conf

from tests.production.compose_file import FILE, PROJECT, Service, read

PRODUCTION = PROJECT / "production"
PAGE = PROJECT / "docs" / "scaling.md"

#: By service of the compose file, where the values have its part.
PARTS = {
    "migrate": "migrateDatabaseJob",
    "api-server": "apiServer",
    "scheduler": "scheduler",
    "dag-processor": "dagProcessor",
}

#: What a program reads that is neither the bridge nor Airflow's configuration.
READ_ELSEWHERE = {
    "AIRFLOW_HOME": "Airflow itself",
    "AIRFLOW_ADMIN_PASSWORD": "production/migrate.sh",
    "FORWARDED_ALLOW_IPS": "uvicorn",
    "PGSSLROOTCERT": "libpq and asyncpg",
}


@pytest.fixture(scope="module")
def values() -> dict[str, Any]:
    """As Helm reads them."""
    return dict(yaml.safe_load((PRODUCTION / "helm-values.yaml").read_text()))


@pytest.fixture(scope="module")
def task_pod(values: dict[str, Any]) -> dict[str, Any]:
    """A task's pod, as if Helm had put something in each of its places."""
    return dict(yaml.safe_load(re.sub(r"\{\{.*?\}\}", "placed", values["podTemplate"])))


@pytest.fixture(scope="module")
def pull() -> dict[str, dict[str, Any]]:
    """The Pull API's manifests by kind."""
    found = yaml.safe_load_all((PRODUCTION / "kubernetes-pull.yaml").read_text())
    return {each["kind"]: each for each in found}


@pytest.fixture(scope="module")
def compose() -> dict[str, Service]:
    """The services of the compose file, with ``secret`` for each secret."""
    return read(dict.fromkeys(re.findall(r"\$\{(\w+):\?", FILE.read_text()), "secret"))


def _role(environment: list[dict[str, Any]]) -> str:
    """Whose address of the staging database it is given."""
    [found] = [each for each in environment if each["name"] == "TOTARA_BRIDGE_DATABASE_URL"]
    reference = found["valueFrom"]["secretKeyRef"]
    assert reference["name"] == "totara-bridge-staging"
    return f"bridge_{reference['key']}"


def _role_in(service: Service) -> str:
    return str(re.findall(r"//(\w+):", service.environment["TOTARA_BRIDGE_DATABASE_URL"])[0])


def _environments(of: Any) -> Iterator[dict[str, Any]]:
    """Every variable that is set anywhere in it."""
    if isinstance(of, Mapping):
        for name, value in of.items():
            if name == "env":
                yield from value
            else:
                yield from _environments(value)
    elif isinstance(of, list):
        for each in of:
            yield from _environments(each)


def _references(of: Any) -> Iterator[tuple[str, str]]:
    """Every key of a Secret that it asks for."""
    for each in _environments(of):
        if "valueFrom" in each:
            reference = each["valueFrom"]["secretKeyRef"]
            yield reference["name"], reference["key"]


def test_each_service_has_the_role_that_it_has_in_the_compose_file(
    values: dict[str, Any], compose: dict[str, Service]
) -> None:
    """Who may do what in staging does not depend on where the bridge runs."""
    found = {service: _role(values[part]["env"]) for service, part in PARTS.items()}
    assert found == {service: _role_in(compose[service]) for service in PARTS}


def test_a_task_has_what_a_worker_has_and_no_more(task_pod: dict[str, Any], compose: dict[str, Service]) -> None:
    """No password of Airflow's database, no fernet key, and no token of Kubernetes."""
    [container] = task_pod["spec"]["containers"]
    assert _role(container["env"]) == _role_in(compose["worker"])
    assert {each["name"] for each in container["env"]} == {
        "AIRFLOW_HOME",
        "PGSSLROOTCERT",
        "TOTARA_BRIDGE_CONFIG",
        "TOTARA_BRIDGE_DATABASE_URL",
    }
    assert task_pod["spec"]["automountServiceAccountToken"] is False
    assert not container.get("envFrom")


def test_the_api_server_runs_the_same_command(values: dict[str, Any], compose: dict[str, Service]) -> None:
    """It believes a proxy in front."""
    [*shell, command] = values["apiServer"]["args"]
    assert (shell, command.removeprefix("exec ").split()) == (["bash", "-c"], [*compose["api-server"].command])


def test_the_pull_api_has_its_role_and_runs_the_same_command(
    pull: dict[str, dict[str, Any]], compose: dict[str, Service]
) -> None:
    """But for the number of processes: one in each pod."""
    [container] = pull["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert _role(container["env"]) == _role_in(compose["pull"])
    *command, _ = compose["pull"].command
    assert container["args"] == [*command, "1"]
    assert container["readinessProbe"]["exec"]["command"] == list(compose["pull"].health)


def test_migrations_run_the_same_command(values: dict[str, Any], compose: dict[str, Service]) -> None:
    """Both databases, and the person ``admin``, whom nothing else makes then."""
    assert values["migrateDatabaseJob"]["args"] == list(compose["migrate"].command)
    assert values["createUserJob"]["enabled"] is False


def test_a_new_version_migrates_before_anything_of_it_begins(values: dict[str, Any]) -> None:
    """Not by the chart's own hook, which comes last, and would win over what is said here."""
    job = values["migrateDatabaseJob"]
    assert job["useHelmHooks"] is False
    assert job["jobAnnotations"]["helm.sh/hook"] == "post-install,pre-upgrade"
    # the next upgrade makes another of the same name
    assert "before-hook-creation" in job["jobAnnotations"]["helm.sh/hook-delete-policy"]


def test_one_groomer_deletes_old_logs_and_the_others_are_off(values: dict[str, Any], tmp_path: Path) -> None:
    """The chart has one in each of these, and its own program is not in our image."""
    groomers = {part: values[part]["logGroomerSidecar"] for part in ("scheduler", "dagProcessor", "triggerer")}
    [groomer] = [each for each in groomers.values() if each.get("enabled", True)]
    [shell, flag, script] = groomer["args"]
    old, new, empty = tmp_path / "old" / "1.log", tmp_path / "new" / "1.log", tmp_path / "empty"
    for each in (old, new, empty / "gone"):
        each.parent.mkdir()
        each.touch()
    (empty / "gone").unlink()
    for each, days in ((old, groomer["retentionDays"] + 1.5), (new, groomer["retentionDays"] - 1), (empty, 1.5)):
        at = time.time() - timedelta(days=days).total_seconds()
        os.utime(each, (at, at))
    once = script.replace("/opt/airflow/logs", str(tmp_path)).replace("sleep 1h", "exit")
    told = {"PATH": os.environ["PATH"], "AIRFLOW__LOG_RETENTION_DAYS": str(groomer["retentionDays"])}
    subprocess.run([shell, flag, once], env=told, check=True, timeout=60)
    assert not old.exists()
    assert old.parent.is_dir()  # its file went just now
    assert new.exists()
    assert not empty.exists()


def test_what_airflow_makes_of_what_was_killed_is_alike(values: dict[str, Any], compose: dict[str, Service]) -> None:
    """And how long a task waits for the API server. But a pod may be queued for longer: it waits for a machine."""
    told = compose["scheduler"].environment
    given = dict(values["config"]["scheduler"])
    assert given.pop("enable_health_check") == "True"
    assert ":8974/health" in values["scheduler"]["livenessProbe"]["command"][-1]
    assert given == {
        option: told[f"AIRFLOW__SCHEDULER__{option.upper()}"]
        for option in ("task_instance_heartbeat_timeout", "orphaned_tasks_check_interval")
    }
    assert values["config"]["workers"] == {
        option: told[f"AIRFLOW__WORKERS__{option.upper()}"]
        for option in ("execution_api_retries", "execution_api_retry_wait_max")
    }


def test_airflow_knows_every_setting(values: dict[str, Any]) -> None:
    """A name that it does not know would be ignored without a word."""
    known = conf.configuration_description
    told = [(section, option) for section, options in values["config"].items() for option in options]
    for each in values["secret"]:
        _, section, option = each["envName"].lower().split("__")
        told.append((section, option))
    assert not [each for each in told if each[1] not in known.get(each[0], {}).get("options", {})]


def test_somebody_reads_every_variable(
    values: dict[str, Any], task_pod: dict[str, Any], pull: dict[str, dict[str, Any]]
) -> None:
    """The bridge, Airflow, or what is named here."""
    package = "".join(path.read_text() for path in (PROJECT / "include").rglob("*.py"))
    names = {each["name"] for each in _environments([values, task_pod, *pull.values()])}
    unread = {name for name in names if f'"{name}"' not in package} - READ_ELSEWHERE.keys()
    assert not unread
    assert "$AIRFLOW_ADMIN_PASSWORD" in (PRODUCTION / "migrate.sh").read_text()


def test_the_page_says_how_to_make_every_secret(
    values: dict[str, Any], task_pod: dict[str, Any], pull: dict[str, dict[str, Any]]
) -> None:
    """With every key that anything asks for; the chart's own keys are those that its values name."""
    of_chart = {
        "connection": values["data"]["metadataSecretName"],
        "fernet-key": values["fernetKeySecretName"],
        "api-secret-key": values["apiSecretKeySecretName"],
        "jwt-secret": values["jwtSecretName"],
    }
    asked = {
        *_references([values, task_pod, *pull.values()]),
        *((name, key) for key, name in of_chart.items()),
        *((each["secretName"], each["secretKey"]) for each in values["secret"]),
    }
    made = {
        (name, key)
        for name, rest in re.findall(r"create secret generic ([\w-]+) ((?:\\\n[^\n\\]*)+)", PAGE.read_text())
        for key in re.findall(r"--from-literal=([\w-]+)=", rest)
    }
    assert made == asked


def test_versions_are_those_of_the_locks(values: dict[str, Any], pull: dict[str, dict[str, Any]]) -> None:
    """Of the image, and of the Airflow in it."""
    version = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["version"]
    locked = re.findall(r"^apache-airflow==(\S+)", (PROJECT / "requirements.txt").read_text(), re.M)
    image = f"{values['defaultAirflowRepository']}:{values['defaultAirflowTag']}"
    [container] = pull["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert values["defaultAirflowTag"] == version
    assert container["image"] == image
    assert [values["airflowVersion"]] == locked


def test_nothing_runs_as_root(
    values: dict[str, Any], task_pod: dict[str, Any], pull: dict[str, dict[str, Any]]
) -> None:
    """Nor with anything that a container can give up."""
    alone = pull["Deployment"]["spec"]["template"]["spec"]
    for pod in (values["securityContexts"]["pod"], alone["securityContext"]):
        assert (pod["runAsNonRoot"], pod["seccompProfile"]["type"]) == (True, "RuntimeDefault")
    for container in (values["securityContexts"]["containers"], alone["containers"][0]["securityContext"]):
        assert container["allowPrivilegeEscalation"] is False
        assert container["capabilities"] == {"drop": ["ALL"]}
    assert "securityContexts.pod" in values["podTemplate"]
    assert task_pod["spec"]["securityContext"] == "placed"
