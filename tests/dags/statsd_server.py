"""A StatsD server on loopback that keeps what it is told, and a task in a process of its own that tells it."""

import socket
import threading
from types import TracebackType
from typing import Self

from airflow.executors.workloads import BundleInfo
from airflow.sdk import DAG
from airflow.sdk.api.datamodels._generated import TaskInstance
from airflow.sdk.execution_time.supervisor import InProcessTestSupervisor, supervise_task
from airflow.utils.state import TaskInstanceState


class StatsdServer:
    """Takes datagrams; for ``with``."""

    def __init__(self) -> None:
        """Nothing has come yet."""
        self._lines: list[str] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._listen)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._socket.getsockname()[1])

    def told(self, prefix: str) -> dict[str, tuple[float, str]]:
        """The last value and type of each metric whose name begins so, without the prefix."""
        found = {}
        for line in self._lines:
            name, _, rest = line.partition(":")
            value, _, kind = rest.partition("|")
            if name.startswith(prefix):
                found[name.removeprefix(prefix)] = (float(value), kind)
        return found

    def _listen(self) -> None:
        while datagram := self._socket.recv(65536):
            self._lines += datagram.decode().splitlines()

    def __enter__(self) -> Self:
        """Listen."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop, when all that came before was read."""
        self._socket.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()


def run_in_its_own_process(dag: DAG, task_id: str) -> int:
    """Run a task as an executor does: supervised, in a process of its own; its exit code."""
    deadline, dag.deadline = dag.deadline, None  # dag.test() of Airflow 3.3.2 cannot look up a DAG's deadlines
    try:
        done = dag.test(mark_success_pattern=".*")  # which makes a run, and runs nothing
    finally:
        dag.deadline = deadline
    [task] = [each for each in done.get_task_instances() if each.task_id == task_id]
    task.set_state(TaskInstanceState.QUEUED)
    return supervise_task(
        ti=TaskInstance(
            id=task.id,
            task_id=task.task_id,
            dag_id=task.dag_id,
            run_id=task.run_id,
            try_number=task.try_number,
            map_index=task.map_index,
            dag_version_id=task.dag_version_id,
        ),
        bundle_info=BundleInfo(name="dags-folder"),
        dag_rel_path=f"{dag.dag_id}.py",
        token="",
        client=InProcessTestSupervisor._api_client(dag),
    )
