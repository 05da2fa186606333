"""An Airflow Connection by its name, as a task and the API server find it alike."""

from typing import Any

from airflow.sdk.bases.hook import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from totara_bridge.errors import ConfigurationInvalid


def stored(name: str) -> Any:
    """The Connection.

    :raises ConfigurationInvalid: there is none of that name.
    """
    try:
        return BaseHook.get_connection(name)
    except AirflowNotFoundException as error:
        raise ConfigurationInvalid(
            f"There is no Airflow Connection {name}: create it (docs/connections.md), or correct its name in "
            "bridge.toml."
        ) from error
