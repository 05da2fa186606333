"""What Airflow reads at start to know our connection types; imports nothing, so reading it costs nothing."""

from typing import Any


def get_provider_info() -> dict[str, Any]:
    """The provider's description; its keys are those of Airflow 3.3's ``provider.yaml``."""
    return {
        "package-name": "totara-bridge",
        "name": "Totara Bridge",
        "description": "Course completions from Totara to Oracle.",
        "versions": ["0.1.0"],
        "connection-types": [_TOTARA, _ORACLE],
    }


def _text(label: str, description: str, **schema: Any) -> dict[str, Any]:
    return {"label": label, "description": description, "schema": {"type": ["string", "null"], **schema}}


def _switch(label: str, description: str, *, default: bool) -> dict[str, Any]:
    return {"label": label, "description": description, "schema": {"type": "boolean", "default": default}}


#: The address has its own. Airflow 3.3.2's "Test" button sends 0 for none, and its server refuses the test where no
#: port is stored, so the field cannot be hidden.
_PORT_LABEL = {"port": "Port (enter 0)"}

_TIMEOUT = {
    "label": "Timeout in ms",
    "description": "How long one connection attempt, statement or request may take.",
    "schema": {"type": "integer", "minimum": 1, "maximum": 3_600_000, "default": 30_000},
}

_TOTARA = {
    "connection-type": "totara",
    "hook-class-name": "totara_bridge.orchestration.totara_hook.TotaraHook",
    "hook-name": "Totara",
    "ui-field-behaviour": {
        "hidden-fields": ["schema", "login"],
        "relabeling": {"host": "Server URL", "password": "API token", **_PORT_LABEL},
        "placeholders": {"host": "https://learn.example.com"},
    },
    "conn-fields": {
        "source": {
            "label": "Source",
            "description": "How this Totara is read; docs/sources.md says what each way can give.",
            "schema": {
                "type": "string",
                "enum": ["database", "web_services", "report_query", "report_file"],
                "default": "database",
            },
        },
        "database_url": _text(
            "Database URL",
            "A read replica with a read-only role, without a password: postgresql://reader@host/totara or "
            "mysql://reader@host/totara",
        ),
        "database_password": _text("Database password", "Of the user in the database URL.", format="password"),
        "table_prefix": _text("Table prefix", "What every table's name begins with.", default="ttr_"),
        "timeout_ms": _TIMEOUT,
        "requests_in_flight": {
            "label": "Requests in flight",
            "description": "Of web services: as many at once at most.",
            "schema": {"type": "integer", "minimum": 1, "maximum": 64, "default": 4},
        },
        "recheck_days": {
            "label": "Recheck after days",
            "description": "Of web services: what is complete is asked about again after so many days.",
            "schema": {"type": "integer", "minimum": 0, "maximum": 3_650, "default": 30},
        },
        "api_client": _text("API client ID", "Of the external GraphQL API: for report_query, and for learners."),
        "api_secret": _text("API client secret", "Of that client.", format="password"),
        "report": {
            "label": "Report",
            "description": "Of report_query and report_file, as JSON: id, saved_search, place, columns, words, months, "
            "whole (docs/sources.md).",
            "schema": {"type": ["object", "null"], "default": {}},
        },
        "time_zone": _text("Time zone", "Of reports: whose days they show, as Pacific/Auckland.", default="UTC"),
        "days_of": {
            "label": "Days of",
            "description": "Of reports: in the site's time zone, or in each learner's.",
            "schema": {"type": "string", "enum": ["site", "learner"], "default": "site"},
        },
        "is_active": _switch("Is active", "Off: the site's tasks stop and say so.", default=True),
        "is_source": _switch("Is source", "Completions are read from this Totara.", default=True),
        "is_target": _switch("Is target", "Not possible yet: leave it off.", default=False),
        "query": {
            "label": "Query",
            "description": "What is read, as JSON lists: course_ids, category_ids, audience_idnumbers, "
            "learner_idnumbers. Empty: everything.",
            "schema": {"type": ["object", "null"], "default": {}},
        },
    },
}

# No key holds the word "token" but for secrets: Airflow masks the values of such keys in its forms and logs,
# and an address that nobody can read cannot be put right.
_ORACLE = {
    "connection-type": "oracle_completions",
    "hook-class-name": "totara_bridge.orchestration.oracle_hook.OracleHook",
    "hook-name": "Oracle (completions)",
    "ui-field-behaviour": {
        "hidden-fields": ["schema"],
        "relabeling": {"host": "Base URL", "login": "Client ID", "password": "Client secret", **_PORT_LABEL},
        "placeholders": {"host": "https://learning.example.oraclecloud.com"},
    },
    "conn-fields": {
        "oauth_url": _text(
            "Token URL", "Where tokens are issued: https://idcs-….identity.oraclecloud.com/oauth2/v1/token"
        ),
        "scope": _text("Scope", "Exactly as the identity domain shows it."),
        "path": _text("Path", "Of the completions endpoint, after the base URL.", default="/completions"),
        "timeout_ms": _TIMEOUT,
        "client_authentication": {
            "label": "Client authentication",
            "description": "How the token request carries the client ID and secret.",
            "schema": {"type": "string", "enum": ["basic", "body"], "default": "basic"},
        },
        "is_active": _switch("Is active", "Off: the destination's tasks stop and say so.", default=True),
    },
}
