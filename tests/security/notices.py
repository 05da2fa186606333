"""A notice of an alert, whose words a hostile destination may have chosen."""

from datetime import UTC, datetime

from totara_bridge.alert_name import AlertName
from totara_bridge.staging.alert import Alert
from totara_bridge.staging.notice import Notice


def notice(words: str = "It answers 503.", subject: str = "oracle") -> Notice:
    """That a destination is down."""
    at = datetime(2026, 3, 1, 4, 30, tzinfo=UTC)
    raised = Alert(
        id=1,
        name=AlertName.DESTINATION_DOWN,
        subject=subject,
        words=words,
        run_id=None,
        raised_at=at,
        seen_at=at,
        resolved_at=None,
    )
    return Notice(raised, "raised", "channel", attempts=0)
