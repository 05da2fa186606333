"""A person waits so long for something and no longer; what goes on after that does so once, not once per click."""

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

_UNDER_WAY: set[str] = set()
_ONE_AT_A_TIME = threading.Lock()


def within(seconds: float, connection_id: str, test: Callable[[], tuple[bool, str]]) -> tuple[bool, str]:
    """What a test answers, or the sentence that it has not yet.

    A thread that waits for a network cannot be stopped: it ends by the Connection's own timeout, and until then the
    same Connection is not tested again.

    :param test: raises nothing.
    """
    with _ONE_AT_A_TIME:
        if connection_id in _UNDER_WAY:
            return False, f"A test of {connection_id} is still under way: wait for it, then try again."
        _UNDER_WAY.add(connection_id)
    answers: SimpleQueue[tuple[bool, str]] = SimpleQueue()

    def run() -> None:
        try:
            answer = test()
        finally:
            with _ONE_AT_A_TIME:
                _UNDER_WAY.discard(connection_id)
        answers.put(answer)

    threading.Thread(target=run, name=f"test {connection_id}", daemon=True).start()
    try:
        return answers.get(timeout=seconds)
    except Empty:
        return False, (
            f"{connection_id} has given no answer within {seconds:g} seconds: see whether Airflow's API server can "
            "reach that system (firewall, proxy), or lower the Connection's timeout."
        )
