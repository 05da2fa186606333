"""One machine in the place of many containers: an address for each of their names, a folder for each of their homes."""

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.debian_postgres import PROGRAMS
from tests.free_port import free_port, free_ports
from tests.production.compose_file import PROJECT, Service

#: What listens, each at a port of its own.
_LISTENING = ("postgres", "redis", "api-server", "pull", "oracle", "totara")


class Machine:
    """Where the services are here."""

    def __init__(self, root: Path) -> None:
        """Nothing listens yet.

        :param root: an empty folder with a short path; everything is kept there.
        """
        self.root = root
        self.ports = dict(zip(_LISTENING, free_ports(len(_LISTENING)), strict=True))
        self.configuration = root / "bridge.toml"
        shutil.copy(PROJECT / "bridge.toml", self.configuration)
        self.task_logs = self.folder("logs")  #: the volume that the services share
        self._log_ports: dict[str, int] = {}
        self._places = self._map()

    def folder(self, *names: str) -> Path:
        """A folder below the root, made if it is not there."""
        path = self.root.joinpath(*names)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def placed(self, service: Service) -> Service:
        """A service of the compose file, with the addresses and folders that it has here."""
        return Service(
            tuple(self._here(each) for each in service.command),
            {key: self._here(value) for key, value in service.environment.items()},
            tuple(self._here(each) for each in service.health),
            service.grace,
        )

    def environment(self, placed: Service, called: str) -> dict[str, str]:
        """All of the environment of a service: what the image gives, and what the compose file does."""
        home = self.folder("homes", called)
        (home / "airflow.cfg").touch()  # the image has an empty one
        return {
            "PATH": f"{Path(sys.executable).parent}:{PROGRAMS}:{os.environ['PATH']}",
            "HOME": str(home),
            "HOSTNAME": called,
            "LANG": "C.UTF-8",
            "PGPORT": str(self.ports["postgres"]),
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(PROJECT / "dags"),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(PROJECT / "plugins"),
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(self.task_logs),
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(self._log_port(called)),
            # files of DAGs do not change while tests run, and half of all processor time went into reading them
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "600",
            # and their first read is beside whatever else starts then
            "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "300",
            "AIRFLOW__DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT": "400",
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(self.ports["api-server"]),
            **placed.environment,
        }

    def besides(self, name: str, called: str) -> Sequence[str]:
        """Arguments that a service needs only where several are on one machine."""
        if name == "worker":
            return "--celery-hostname", f"celery@{called}"
        if name == "sandbox":
            ports = (f"--oracle-port={self.ports['oracle']}", f"--totara-port={self.ports['totara']}")
            return (*ports, f"--data={self.folder('sandbox')}")
        return ()

    def _log_port(self, called: str) -> int:
        if called not in self._log_ports:
            self._log_ports[called] = free_port()
        return self._log_ports[called]

    def _here(self, words: str) -> str:
        for name, here in self._places.items():
            words = words.replace(name, here)
        return words

    def _map(self) -> Mapping[str, str]:
        ports = self.ports
        return {
            "postgres:5432": f"127.0.0.1:{ports['postgres']}",
            "redis:6379": f"127.0.0.1:{ports['redis']}",
            "port 6379": f"port {ports['redis']}",
            "redis-cli -h 127.0.0.1": f"redis-cli -h 127.0.0.1 -p {ports['redis']}",
            "api-server:8080": f"127.0.0.1:{ports['api-server']}",
            "127.0.0.1:8080": f"127.0.0.1:{ports['api-server']}",
            "127.0.0.1:8070": f"127.0.0.1:{ports['oracle']}",
            "localhost:8080": f"127.0.0.1:{ports['api-server']}",
            "0.0.0.0": "127.0.0.1",
            "8090": str(ports["pull"]),
            "/opt/airflow/production": str(PROJECT / "production"),
            "/opt/airflow/bridge.toml": str(self.configuration),
            "/data": str(self.folder("redis")),
        }
