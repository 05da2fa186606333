"""`make down` and `make reset`: ending all that `make up` started, and forgetting it."""

from totara_bridge.local import postgres, processes
from totara_bridge.local.home import Home, find_home


def down() -> None:
    """End every process of the local run and keep its data; does nothing where nothing runs.

    :raises LocalRunFailed: a ``make up`` is at work.
    """
    home = find_home()
    with home.locked():
        if _stop(home):
            print(f"Everything is stopped; the data is kept in {home.root}.")
        else:
            print("Nothing was up.")


def reset() -> None:
    """End every process of the local run and delete its data.

    :raises LocalRunFailed: a ``make up`` is at work.
    """
    home = find_home()
    with home.locked():
        _stop(home)
        if home.root.is_dir():
            home.delete()
    print(f"Everything is stopped, and no data is left in {home.root}.")


def _stop(home: Home) -> bool:
    """End everything, the database last; whether anything ran."""
    print("Stopping …", flush=True)
    ended = processes.stop(home)
    return postgres.stop(home.postgres) or ended > 0
