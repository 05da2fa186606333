"""The Airflow connection type Oracle (completions): its fields, its test, and the checked access for a task."""

from typing import Any

from airflow.providers.http.hooks.http import HttpHook
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from requests import PreparedRequest

from totara_bridge.errors import BridgeError, ConfigurationInvalid
from totara_bridge.oracle.access import ClientAuthentication, OracleAccess
from totara_bridge.oracle.check import check
from totara_bridge.oracle.token import TokenHolder
from totara_bridge.orchestration.stored import stored


class _Fields(BaseModel):
    """The extra fields; what Airflow stores may be JSON values or their text."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, str_strip_whitespace=True)

    oauth_url: str = ""
    scope: str = ""
    path: str = "/completions"
    timeout_ms: int = Field(default=30_000, ge=1, le=3_600_000)
    client_authentication: ClientAuthentication = "basic"
    is_active: bool = True


class OracleHook(HttpHook):
    """One Oracle that completions are sent to, named by an Airflow Connection."""

    conn_name_attr = "oracle_conn_id"
    default_conn_name = "oracle_completions_default"
    conn_type = "oracle_completions"
    hook_name = "Oracle (completions)"

    def __init__(self, oracle_conn_id: str = default_conn_name) -> None:
        super().__init__(http_conn_id=oracle_conn_id)
        self.oracle_conn_id = oracle_conn_id

    def access(self) -> OracleAccess:
        """What a task sends with.

        :raises ConfigurationInvalid: a field is wrong, or the connection is not active.
        """
        name = f"The connection {self.oracle_conn_id}"
        access, is_active = self._from_fields(name)
        if not is_active:
            raise ConfigurationInvalid(
                f'{name} is not active, so nothing is sent to this Oracle: turn "Is active" on, or take the '
                "destination out of bridge.toml."
            )
        return access

    def test_connection(self) -> tuple[bool, str]:
        """What Airflow's "Test" shows: what was found, or the step that failed and what to do."""
        try:
            access, is_active = self._from_fields("This connection")
            found = check(access)
        except BridgeError as error:
            return False, str(error)
        return True, found if is_active else f"{found} It is not active, so its destination's tasks stop."

    def _from_fields(self, name: str) -> tuple[OracleAccess, bool]:
        connection = stored(self.oracle_conn_id)
        given = {key: value for key, value in connection.extra_dejson.items() if value not in (None, "")}
        try:
            fields = _Fields.model_validate(given)
        except ValidationError as error:
            places = "; ".join(
                f"{each['loc'][0]}: {each['msg']}" for each in error.errors(include_input=False, include_url=False)
            )
            raise ConfigurationInvalid(
                f"{name} has fields that cannot be: {places} (known: {', '.join(_Fields.model_fields)})."
            ) from error
        access = OracleAccess(
            base_url=connection.host or "",
            token_url=fields.oauth_url,
            client_id=connection.login or "",
            client_secret=connection.password or "",
            scope=fields.scope,
            path=fields.path,
            timeout=fields.timeout_ms / 1000,
            client_authentication=fields.client_authentication,
        )
        return access, fields.is_active

    def _extract_auth(self, connection: Any) -> Any:
        """Send a token, never the client secret, which `HttpHook` would send to the base URL."""
        access, _ = self._from_fields("This connection")
        tokens = TokenHolder(access)

        def bear(request: PreparedRequest) -> PreparedRequest:
            request.headers["Authorization"] = f"Bearer {tokens.current()}"
            return request

        return bear

    def _configure_session_from_extra(self, session: Any, connection: Any, extra_options: dict[str, Any]) -> Any:
        """Keep the extra fields out of the headers, where `HttpHook` puts them."""
        access, _ = self._from_fields("This connection")
        self.merged_extra = {"timeout": access.timeout, **extra_options}
        return session
