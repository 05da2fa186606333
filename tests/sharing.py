"""Which tests go to one process together, where several share them: those of a module, and all that need an Airflow.

pytest-xdist's own groups do not work with this pytest: it sets names of tests that pytest reads no more.
"""

from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]


class ByModule(LoadScopeScheduling):  # type: ignore[misc]
    """Modules are given out one by one, in the order in which they were collected."""

    def _split_scope(self, nodeid: str) -> str:
        return "tests/e2e" if nodeid.startswith("tests/e2e/") else nodeid.partition("::")[0]
