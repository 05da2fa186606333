"""The task of ``push_completions``."""

from datetime import UTC, datetime, timedelta
from typing import Any

from totara_bridge import push
from totara_bridge.config import read_config
from totara_bridge.extract.enqueue import Wants
from totara_bridge.extract.unhold import unhold
from totara_bridge.oracle.sender import Sender
from totara_bridge.oracle.token import TokenHolder
from totara_bridge.orchestration.form import Form, filled_in
from totara_bridge.orchestration.metrics import timed_drain
from totara_bridge.orchestration.oracle_hook import OracleHook
from totara_bridge.orchestration.sigterm import stopped_by_sigterm
from totara_bridge.orchestration.switches import settings_or_skip
from totara_bridge.staging.database import staging


class Push(Form):
    """A run of ``push_completions`` sends what is due; it cannot be asked for anything else."""


def push_destination(code: str, params: dict[str, Any]) -> dict[str, int]:
    """Drain the queue of one destination of bridge.toml.

    :raises RequestInvalid: the run asks for something.
    """
    filled_in(Push, params)
    config = read_config()
    destination = config.destination(code)
    template = config.template(destination.template)
    with staging() as engine:
        settings_or_skip(engine)
        settings = settings_or_skip(engine, code)
        unhold(engine, Wants.of(config, destination), _now())
    access = OracleHook(destination.connection).access()
    tokens = TokenHolder(access)
    plan = push.DrainPlan(
        destination=code,
        settings=settings,
        request_timeout=timedelta(seconds=access.timeout),
        time_box=config.push.time_box,
        template=template,
    )

    def new_sender() -> Sender:
        return Sender(access, tokens, items=template.items, gzip=destination.gzip)

    with (
        timed_drain(code) as drained,
        staging(connections=plan.connections) as engine,
        stopped_by_sigterm() as stop,
    ):
        done = push.drain(engine, new_sender, plan, clock=_now, stop=stop, drained=drained)
    return done.counts() | ({"let_in": 1} if done.let_in else {})


def _now() -> datetime:
    return datetime.now(UTC)
