"""The DAGs' folder, and running one of them in the test's own process."""

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from airflow.sdk import DAG

if TYPE_CHECKING:
    from airflow.sdk.definitions.param import ParamsDict

DAGS = Path(__file__).parents[2] / "dags"

#: What a task is told of a run that nobody triggered.
BY_SCHEDULE = SimpleNamespace(triggering_user_name=None, dag_id="extract_completions")


def run(dag: DAG, **conf: Any) -> dict[str, Any]:
    """Run the DAG in this process; the tasks' states and what they returned."""
    # dag.test() of Airflow 3.3.2 cannot look up a DAG's deadlines, and writes a run's configuration over the defaults
    deadline, dag.deadline = dag.deadline, None
    params = [cast("ParamsDict", each.params).get_param(name) for each in (dag, *dag.tasks) for name in each.params]
    defaults = [(param, param.value) for param in params]
    try:
        done = dag.test(run_conf=conf)
    finally:
        dag.deadline = deadline
        for param, default in defaults:
            param.value = default
    found: dict[str, Any] = {"state": str(done.state)}
    for task in done.get_task_instances():
        found[task.task_id] = str(task.state)
        found[f"{task.task_id}_returned"] = task.xcom_pull(task_ids=task.task_id)
    return found
