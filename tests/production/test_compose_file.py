"""docker-compose.yaml is valid, and says of every service what keeps it safe; no secret has a default."""

import re
import subprocess
import sys
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.production.compose_file import FILE, PROJECT, read

EXAMPLE = PROJECT / ".env.example"

TEXT = FILE.read_text()
SERVICES: Mapping[str, Mapping[str, Any]] = yaml.safe_load(TEXT)["services"]

#: Those that end by themselves.
ONE_SHOTS = {"migrate"}

#: Those of our image.
OURS = {name for name, service in SERVICES.items() if "BRIDGE_IMAGE" in service["image"]}

#: Which secrets a service has, and no other: whoever breaks into a container has those of this container.
_OF_DATABASES = {f"{name}_PASSWORD" for name in ("BRIDGE_OWNER", "BRIDGE_TASKS", "BRIDGE_PANEL", "BRIDGE_PULL")}
SECRETS = {
    "postgres": {"POSTGRES_PASSWORD", "AIRFLOW_DATABASE_PASSWORD", *_OF_DATABASES},
    "migrate": {"AIRFLOW_DATABASE_PASSWORD", "BRIDGE_OWNER_PASSWORD", "AIRFLOW_ADMIN_PASSWORD"},
    "api-server": {"AIRFLOW_DATABASE_PASSWORD", "AIRFLOW_FERNET_KEY", "AIRFLOW_JWT_SECRET", "AIRFLOW_SECRET_KEY",
                   "BRIDGE_PANEL_PASSWORD"},
    "scheduler": {"AIRFLOW_DATABASE_PASSWORD", "AIRFLOW_JWT_SECRET", "BRIDGE_TASKS_PASSWORD", "REDIS_PASSWORD"},
    "dag-processor": {"AIRFLOW_DATABASE_PASSWORD", "BRIDGE_TASKS_PASSWORD"},
    "triggerer": {"AIRFLOW_DATABASE_PASSWORD"},
    "redis": {"REDIS_PASSWORD"},
    "worker": {"BRIDGE_TASKS_PASSWORD", "REDIS_PASSWORD"},
    "pull": {"BRIDGE_PULL_PASSWORD"},
    "sandbox": {"BRIDGE_TASKS_PASSWORD", "POSTGRES_PASSWORD", "AIRFLOW_ADMIN_PASSWORD"},
}  # fmt: skip


def test_it_is_valid() -> None:
    assert _schema_errors(FILE) == ""


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("healthcheck:", "healthchek:"),
        ("restart: unless-stopped", "restart: [unless-stopped]"),
        ("ports: [", "ports: {"),
    ],
)
def test_what_is_not_valid_is_found(right: str, wrong: str, tmp_path: Path) -> None:
    assert right in TEXT
    spoilt = tmp_path / "docker-compose.yaml"
    spoilt.write_text(TEXT.replace(right, wrong))
    assert _schema_errors(spoilt) != ""


def test_every_variable_is_explained_in_the_example_and_every_one_there_is_used() -> None:
    used = set(re.findall(r"(?<!\$)\$\{(\w+)", TEXT))
    lines = EXAMPLE.read_text().splitlines()
    explained = {
        line.partition("=")[0] for before, line in pairwise(lines)
        if re.match(r"[A-Z_]+=", line) and (before.startswith("#") or re.match(r"[A-Z_]+=", before))
    }  # fmt: skip
    # Docker Compose itself reads it, and the image's name is for who builds another
    assert used - {"BRIDGE_IMAGE"} == explained - {"COMPOSE_PROFILES"}


def test_every_secret_must_be_given() -> None:
    secrets = _secrets_of_example()
    assert secrets == set().union(*SECRETS.values())
    for name in secrets:
        ways = set(re.findall(rf"\$\{{{name}([^}}]*)\}}", TEXT))
        assert ways == {":?run make secrets"}, name
        given = {each: "given" for each in secrets if each != name}
        with pytest.raises(KeyError, match=f"{name}: run make secrets"):
            read(given)


def test_every_other_variable_has_a_default_that_is_the_example_s() -> None:
    example = dict(line.split("=", 1) for line in EXAMPLE.read_text().splitlines() if re.match(r"[A-Z_]+=", line))
    for name, default in re.findall(r"\$\{(\w+):-([^}]*)\}", TEXT):
        if name != "BRIDGE_IMAGE":
            assert default == example[name], name


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_the_secrets_that_it_needs_and_no_other(name: str) -> None:
    described = yaml.safe_dump({name: SERVICES[name]})
    assert set(re.findall(r"\$\{(\w+)", described)) & _secrets_of_example() == SECRETS[name]
    # none is an argument: a process list shows those
    assert ":?" not in str(SERVICES[name]["command"])


def test_every_service_is_explained() -> None:
    rows = (PROJECT / "docs" / "production.md").read_text().splitlines()
    assert {row.split("`")[1] for row in rows if row.startswith("| `")} == set(SERVICES)


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_kept_small(name: str) -> None:
    service = SERVICES[name]
    assert "no-new-privileges:true" in service["security_opt"]
    assert not service.get("privileged")
    assert not service.get("cap_add")
    limits = service["deploy"]["resources"]["limits"]
    assert set(limits) == {"cpus", "memory"}
    if name in OURS:
        assert service["cap_drop"] == ["ALL"]


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_comes_again_by_itself_and_says_whether_it_is_well(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] == ("no" if name in ONE_SHOTS else "unless-stopped")
    assert ("healthcheck" in service) == (name not in ONE_SHOTS)


def test_nothing_is_open_beyond_this_machine() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert published
    assert all(re.fullmatch(r"127\.0\.0\.1:\$\{\w+:-\d+\}:\d+", port) for port in published), published
    assert not any("host" in str(service.get("network_mode", "")) for service in SERVICES.values())


def test_images_are_pinned() -> None:
    foreign = {service["image"] for name, service in SERVICES.items() if name not in OURS}
    assert foreign
    assert all(re.fullmatch(r"[a-z]+:\d+(\.\d+)+-bookworm", image) for image in foreign), foreign
    [own] = {SERVICES[name]["image"] for name in OURS}
    assert re.fullmatch(r"\$\{BRIDGE_IMAGE:-totara-bridge:\d+\.\d+\.\d+\}", own)


def test_the_image_is_built_once_and_by_a_service_of_every_profile() -> None:
    [builds] = [name for name, service in SERVICES.items() if "build" in service]
    assert builds in OURS
    assert "profiles" not in SERVICES[builds]


def test_files_that_it_mounts_are_there_and_read_only() -> None:
    mounted = [each for service in SERVICES.values() for each in service.get("volumes", ()) if each.startswith(".")]
    assert mounted
    for each in mounted:
        source, _, mode = each.split(":")
        assert (PROJECT / source).is_file()
        assert mode == "ro"


def _schema_errors(file: Path) -> str:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(file)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    return "" if checked.returncode == 0 else checked.stdout + checked.stderr


def _secrets_of_example() -> set[str]:
    return set(re.findall(r"^# secret: \w+\n(\w+)=$", EXAMPLE.read_text(), re.MULTILINE))
