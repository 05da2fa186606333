"""The DAGs' folder, and running one of them in the test's own process."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from airflow.sdk import DAG

DAGS = Path(__file__).parents[2] / "dags"

#: What a task is told of a run that nobody triggered.
BY_SCHEDULE = SimpleNamespace(triggering_user_name=None, dag_id="extract_completions")


def run(dag: DAG, **conf: Any) -> dict[str, Any]:
    """Run the DAG in this process; the tasks' states and what they returned."""
    deadline, dag.deadline = dag.deadline, None  # dag.test() of Airflow 3.3.2 cannot look up a DAG's deadlines
    try:
        done = dag.test(run_conf=conf)
    finally:
        dag.deadline = deadline
    found: dict[str, Any] = {"state": str(done.state)}
    for task in done.get_task_instances():
        found[task.task_id] = str(task.state)
        found[f"{task.task_id}_returned"] = task.xcom_pull(task_ids=task.task_id)
    return found
