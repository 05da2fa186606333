"""The Airflow connection type Totara: its fields, its test, and the checked connection for a task."""

from typing import Any

from airflow.providers.http.hooks.http import HttpHook

from totara_bridge.errors import BridgeError
from totara_bridge.orchestration.stored import stored
from totara_bridge.totara.connection import TotaraConnection
from totara_bridge.totara.sources import check


class TotaraHook(HttpHook):
    """One Totara, named by an Airflow Connection."""

    conn_name_attr = "totara_conn_id"
    default_conn_name = "totara_default"
    conn_type = "totara"
    hook_name = "Totara"

    def __init__(self, totara_conn_id: str = default_conn_name) -> None:
        super().__init__(http_conn_id=totara_conn_id)
        self.totara_conn_id = totara_conn_id

    def connection(self) -> TotaraConnection:
        """What a task reads with.

        :raises ConfigurationInvalid: a field is wrong, or the connection is not active or not a source.
        """
        name = f"The connection {self.totara_conn_id}"
        connection = self._from_fields(name)
        connection.refuse_unless_source(name)
        return connection

    def test_connection(self) -> tuple[bool, str]:
        """What Airflow's "Test" shows: what was found, or the step that failed and what to do."""
        try:
            connection = self._from_fields("This connection")
            found = check(connection)
        except BridgeError as error:
            return False, str(error)
        if not (connection.is_active and connection.is_source):
            found += " It is not active or not a source, so its site's tasks stop."
        return True, found

    def _from_fields(self, name: str) -> TotaraConnection:
        fields = stored(self.totara_conn_id)
        return TotaraConnection.from_fields(
            name, server_url=fields.host or "", api_token=fields.password or "", extra=fields.extra_dejson
        )

    def _configure_session_from_extra(self, session: Any, connection: Any, extra_options: dict[str, Any]) -> Any:
        """Keep the extra fields, a password among them, out of the headers, where `HttpHook` puts them."""
        self.merged_extra = {"timeout": self._from_fields("This connection").timeout, **extra_options}
        return session

    def _extract_auth(self, connection: Any) -> None:
        """Send no credentials by this hook: what is asked of Totara is asked by its sources."""
