"""``watch_delivery``: it looks, it tells, it says in red what it could not do, and it ends what is over."""

from collections.abc import Iterator

import pytest
from airflow.models.dagrun import DagRun
from airflow.sdk import DAG
from airflow.utils.session import create_session
from sqlalchemy import Engine, select, text, update

from tests.bridge import Bridge
from tests.dags import told
from tests.dags.dag_run import run
from tests.receivers import Webhook
from totara_bridge.alert_name import AlertName
from totara_bridge.staging import alert, setting
from totara_bridge.staging.setting import EVERYWHERE

# Airflow's task runner warns about its own dependencies; ours stay errors
pytestmark = [pytest.mark.filterwarnings("default"), pytest.mark.filterwarnings("error:::totara_bridge")]


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    with Webhook() as taking:
        monkeypatch.setenv("AIRFLOW_CONN_HOOK", taking.connection())
        yield taking


def raise_alert(staging: Engine, name: AlertName, subject: str, run_id: str | None = None) -> None:
    with staging.begin() as transaction:
        alert.raise_alert(transaction, name=name, subject=subject, words=f"{subject}.", run_id=run_id, now=told.RAISED)


def open_subjects(staging: Engine) -> list[str]:
    """Whose alerts of runs and credentials are open."""
    names = ("run_late", "run_failed", "credentials_failing")
    return [subject for name, subject, _, is_open in told.alerts(staging) if is_open and name in names]


def test_what_is_broken_is_told_once_and_so_is_its_end(airflow: Bridge, dags: dict[str, DAG], hook: Webhook) -> None:
    told.use_channels(airflow.staging, [{"connection": "hook"}])
    run(dags["extract_completions"])
    with airflow.staging.begin() as transaction:
        transaction.execute(text("UPDATE bridge.watermark SET extracted_at = extracted_at - interval '3 days'"))
    for _ in range(2):
        assert run(dags["watch_delivery"])["state"] == "success"
    assert [(body["event"], body["name"], body["subject"]) for body in hook.bodies] == [("raised", "silence", "sbx")]
    run(dags["extract_completions"])
    for _ in range(2):
        assert run(dags["watch_delivery"])["notify"] == "success"
    assert [(body["event"], body["name"]) for body in hook.bodies[1:]] == [("resolved", "silence")]


def test_a_channel_that_is_down_fails_the_run_and_is_an_alert_itself(
    airflow: Bridge, dags: dict[str, DAG], hook: Webhook
) -> None:
    told.use_channels(airflow.staging, [{"connection": "hook"}])
    told.raise_down(airflow.staging, "other")
    raise_alert(airflow.staging, AlertName.RUN_FAILED, "purge_completions.purge")
    hook.status = 500
    done = run(dags["watch_delivery"])
    assert (done["state"], done["check"], done["notify"]) == ("failed", "success", "failed")
    assert open_subjects(airflow.staging) == ["purge_completions.purge", "watch_delivery.notify"]
    [words] = [row[2] for row in told.alerts(airflow.staging) if row[1] == "watch_delivery.notify"]
    assert words == (
        "Not every alert channel was told, and the next run tries again: hook: it answered 500:Internal Server Error. "
        "Mend the Airflow Connection, or take it out of the setting alert_channels."
    )
    hook.status = 200
    assert run(dags["watch_delivery"])["state"] == "success"
    assert open_subjects(airflow.staging) == ["purge_completions.purge"]


def test_a_check_that_fails_keeps_no_notice_back_and_fails_the_run(
    airflow: Bridge, dags: dict[str, DAG], hook: Webhook
) -> None:
    told.use_channels(airflow.staging, [{"connection": "hook"}])
    raise_alert(airflow.staging, AlertName.RUN_FAILED, "purge_completions.purge")
    done = run(dags["watch_delivery"], everything=True)
    assert (done["state"], done["check"], done["notify"]) == ("failed", "failed", "failed")
    assert [body["subject"] for body in hook.bodies] == ["purge_completions.purge"]
    assert open_subjects(airflow.staging) == ["purge_completions.purge"]  # who asks wrongly is told by the run


def test_a_late_run_is_over_when_it_has_ended_or_is_gone(airflow: Bridge, dags: dict[str, DAG]) -> None:
    for dag_id in ("extract_completions", "push_completions"):
        run(dags[dag_id])
    with create_session() as session:
        newest = {
            dag_id: session.scalars(
                select(DagRun.run_id).where(DagRun.dag_id == dag_id).order_by(DagRun.id.desc())
            ).first()
            for dag_id in ("extract_completions", "push_completions")
        }
        session.execute(
            update(DagRun).where(DagRun.run_id == newest["push_completions"]).values(state="running", end_date=None)
        )
    raise_alert(airflow.staging, AlertName.RUN_LATE, "extract_completions", newest["extract_completions"])
    raise_alert(airflow.staging, AlertName.RUN_LATE, "push_completions", newest["push_completions"])
    raise_alert(airflow.staging, AlertName.RUN_LATE, "purge_completions", "scheduled__gone")
    assert run(dags["watch_delivery"])["check"] == "success"
    assert [row[1:] for row in told.alerts(airflow.staging) if row[0] == "run_late"] == [
        ("extract_completions", "extract_completions.", False),
        ("push_completions", "push_completions.", True),
        ("purge_completions", "purge_completions. The run was deleted.", False),
    ]
    with create_session() as session:
        session.execute(update(DagRun).where(DagRun.run_id == newest["push_completions"]).values(state="failed"))
    run(dags["watch_delivery"])
    assert open_subjects(airflow.staging) == []


def test_what_is_no_more_in_bridge_toml_has_no_open_alert(airflow: Bridge, dags: dict[str, DAG]) -> None:
    kept = ["extract_completions.extract_sbx", "push_completions.push_oracle", "purge_completions.purge"]
    for subject in (*kept, "extract_completions.extract_uk", "push_completions.push_oracle_2"):
        raise_alert(airflow.staging, AlertName.RUN_FAILED, subject)
    for code in ("sbx", "oracle", "fusion"):
        raise_alert(airflow.staging, AlertName.CREDENTIALS_FAILING, code)
    run(dags["watch_delivery"])
    assert open_subjects(airflow.staging) == [*kept, "sbx", "oracle"]


@pytest.mark.parametrize(
    ("scope", "left"),
    [
        ("oracle", ["extract_completions.extract_sbx", "purge_completions.purge"]),
        (EVERYWHERE, ["purge_completions.purge"]),
    ],
)
def test_what_is_switched_off_has_no_failed_task(
    airflow: Bridge, dags: dict[str, DAG], scope: str, left: list[str]
) -> None:
    for subject in ("extract_completions.extract_sbx", "push_completions.push_oracle", "purge_completions.purge"):
        raise_alert(airflow.staging, AlertName.RUN_FAILED, subject)
    with airflow.staging.begin() as transaction:
        setting.write(transaction, scope=scope, name="enabled", value=False, by="ann", now=airflow.now)
    run(dags["watch_delivery"])
    assert open_subjects(airflow.staging) == left
