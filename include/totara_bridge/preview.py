"""What a destination's items would look like with the template as it is configured now; nothing is changed."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Engine

from totara_bridge.config import BridgeConfig
from totara_bridge.extract.enqueue import to_deliver
from totara_bridge.oracle.payload import render
from totara_bridge.staging.newest import newest


@dataclass(frozen=True)
class Preview:
    """One item as it would be enqueued now."""

    site: str
    user_id: int
    course_id: int
    template: str  #: name/version
    payload: str
    missing: tuple[str, ...]  #: what would hold it; none: it would be queued


def preview(engine: Engine, config: BridgeConfig, destination: str, limit: int = 5) -> Sequence[Preview]:
    """The newest completions on the destination's route as it would get them; what it has already is shown too.

    :raises ConfigurationInvalid: bridge.toml has no such destination.
    """
    asked = config.destination(destination)
    template = config.template(asked.template)
    with engine.connect() as transaction:
        rows = newest(transaction, destination=destination, route=asked.route, limit=limit)
    previews = []
    for row in rows:
        rendered = render(to_deliver(row), template)
        place = (row.site, row.user_id, row.course_id)
        previews.append(Preview(*place, template.label, rendered.payload, rendered.missing))
    return previews
