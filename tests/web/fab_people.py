"""Makes the metadata database of an Airflow with the FAB auth manager, and somebody of each of its roles.

A program of its own, run with that Airflow's environment: a process can have one auth manager only.
"""

import sys

from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder
from airflow.utils.db import initdb


def main(roles: list[str]) -> None:
    """Make the database, and for each role somebody who is called so, and whose password is that too."""
    initdb()
    with get_application_builder() as builder:
        manager = builder.sm
        manager.sync_roles()
        for role in roles:
            made = manager.add_user(role, role, role, f"{role}@example.com", manager.find_role(role.title()), role)
            assert made, role


if __name__ == "__main__":
    main(sys.argv[1:])
