"""What exists and when it runs: bridge.toml and the environment, read once per process through pydantic-settings.

Reading it touches no database and no Airflow Connection, so a DAG file may do it while it is parsed.
"""

from totara_bridge.config.bridge import BridgeConfig, config_file, database_url, read_config
from totara_bridge.config.section import Destination, Extract, Purge, Push, Site, Watch

__all__ = [
    "BridgeConfig",
    "Destination",
    "Extract",
    "Purge",
    "Push",
    "Site",
    "Watch",
    "config_file",
    "database_url",
    "read_config",
]
