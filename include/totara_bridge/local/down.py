"""`make down` and `make reset`: ending all that `make up` started, and forgetting it."""

from totara_bridge.local import processes
from totara_bridge.local.home import Home, find_home
from totara_bridge.local.postgres import EmbeddedPostgres, is_running


def down() -> None:
    """End every process of the local run and keep its data; does nothing where nothing runs.

    :raises LocalRunFailed: a ``make up`` is at work.
    """
    home = find_home()
    if not home.root.is_dir():
        print(f"Nothing is up: there is no data folder {home.root}.")
        return
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
    if not home.root.is_dir():
        print(f"Nothing to delete: there is no data folder {home.root}.")
        return
    with home.locked():
        _stop(home)
        home.delete()
    print(f"Everything is stopped, and the data in {home.root} is deleted.")


def _stop(home: Home) -> bool:
    """End everything, the database last; whether anything ran."""
    print("Stopping …", flush=True)
    ended = processes.stop(home)
    with_postgres = is_running(home.postgres)
    if with_postgres:
        EmbeddedPostgres(home.postgres).stop()
    return bool(ended or with_postgres)
