"""The audit log, to be looked through."""

from datetime import datetime

from totara_bridge.staging.log_page import Log, Wanted
from totara_bridge.staging.pull_form import Field

# What an older bridge wrote down of alert channels may hold people's addresses, or a secret in a wrong place: since
# then the number of addresses stands there.
_CHANNELS = "c.action = 'setting' AND c.subject = 'alert_channels'"
_OF_AN_OLDER_BRIDGE = " OR ".join(
    f"""jsonb_path_exists(c.details, '$.{side}[*] ? (@ != null && !(exists(@.to ? (@.type() == "number"))))')"""
    for side in ("from", "to")
)


def _log(left_out: str) -> Log:
    """The log.

    :param left_out: SQL, which rows have their values left out.
    """
    details = f"CASE WHEN {left_out} THEN c.details - ARRAY['from', 'to'] ELSE c.details END"
    return Log(
        "bridge.audit_log",
        (
            Field("id", "number", "c.id"),
            Field("at", "instant", "c.at"),
            Field("actor", "text", "c.actor"),
            Field("action", "text", "c.action"),
            Field("subject", "text", "c.subject"),
            Field("details", "json", details),
        ),
    )


#: For whoever may look: without where alerts go.
FOR_VIEWERS = _log(_CHANNELS)

#: For whoever may manage.
FOR_MANAGERS = _log(f"{_CHANNELS} AND ({_OF_AN_OLDER_BRIDGE})")


def wanted(
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    actor: str | None = None,
    action: str | None = None,
    subject: str | None = None,
) -> Wanted:
    """Rows between two moments that meet all that is given; actor and subject by any part, upper or lower case."""
    asked = {"actor": actor, "action": action, "subject": subject}
    values = {name: words for name, words in asked.items() if words is not None}
    conditions = [_CONDITIONS[name] for name in values]
    return Wanted(since=since, until=until, conditions=conditions, values=values)


_CONDITIONS = {
    "actor": "strpos(lower(c.actor), lower(:actor)) > 0",
    "action": "c.action = :action",
    "subject": "strpos(lower(c.subject), lower(:subject)) > 0",
}
