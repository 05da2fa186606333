"""What must hold when all is over, and the table of every cell that was played."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields

from tests.chaos.scene import Scene
from tests.chaos.staging import ITEMS

HOLDS = "holds"

#: The name by which a test's report carries its row.
CELL = "cell"


@dataclass(frozen=True)
class Row:
    """One cell, when it was over."""

    cell: str
    requests: int
    kills: int
    faults: int
    received: int
    distinct: int
    duplicates: int
    dead: int
    sending: int
    verdict: str


#: What puts a row into the table.
Report = Callable[[Row], None]

#: What ends a cell: later senders finish it, what must hold is checked, and the row is put into the table.
Conclude = Callable[[], Row]


def judge(cell: str, scene: Scene) -> Row:
    """What the cell came to."""
    received, states = scene.oracle.received(), scene.states()
    return Row(
        cell=cell,
        requests=received["requests"],
        kills=scene.kills,
        faults=received["faults_met"],
        received=received["items_received"],
        distinct=received["keys_stored"],
        duplicates=received["duplicates"],
        dead=states.get("dead", 0),
        sending=states.get("sending", 0),
        verdict="; ".join(_broken(scene)) or HOLDS,
    )


def table(rows: Sequence[Row]) -> list[str]:
    """The lines of the table."""
    names = [each.name for each in fields(Row)]
    cells = [names, *([str(getattr(row, name)) for name in names] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if name in ("cell", "verdict") else cell.rjust(width)
            for name, cell, width in zip(names, line, widths, strict=True)
        ).rstrip()
        for line in cells
    ]


def _broken(scene: Scene) -> Iterator[str]:
    """The promises that were not kept."""
    queue = {row["idempotency_key"]: json.loads(row["payload"]) for row in scene.rows(_QUEUE)}
    stored, states, received = scene.oracle.stored_keys(), scene.states(), scene.oracle.received()
    if len(stored) != len(set(stored)) or set(stored) != set(queue) or len(queue) != ITEMS:
        yield f"of the {len(queue)} items Oracle has {len(set(stored) & set(queue))}, and {len(stored)} in all"
    elif {each["key"]: each["payload"] for each in scene.oracle.items(limit=ITEMS)} != queue:
        yield "Oracle has something else than what was queued"
    if received["conflicts"]:
        yield f"{received['conflicts']} times a key came again with another body"
    if states != {"sent": ITEMS}:
        yield f"the queue ends with {states}"
    [counted] = scene.rows(_COUNTED)
    if counted != {"ledger": ITEMS, "by_hour": ITEMS}:
        yield f"the delivery ledger has {counted['ledger']} rows, the hours count {counted['by_hour']}"


_QUEUE = "SELECT idempotency_key, payload FROM bridge.export_queue"
_COUNTED = """
    SELECT (SELECT count(*) FROM bridge.delivery) AS ledger,
           (SELECT coalesce(sum(sent), 0)::bigint FROM bridge.delivery_hour) AS by_hour
"""
