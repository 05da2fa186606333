"""Which tests go to one process together, where several share them: those of a module, and all that share an Airflow.

pytest-xdist's own groups do not work with this pytest: it sets names of tests that pytest reads no more.
"""

from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

#: Folders whose tests share an Airflow at work; given out first, since they take longest, and wait most of the time.
TOGETHER = ("e2e", "production", "up")


class ByModule(LoadScopeScheduling):  # type: ignore[misc]
    """Modules are given out one by one, in the order in which they were collected."""

    def _split_scope(self, nodeid: str) -> str:
        shared = (f"tests/{name}" for name in TOGETHER if nodeid.startswith(f"tests/{name}/"))
        return next(shared, nodeid.partition("::")[0])
