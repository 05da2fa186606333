"""What alerts there are; each has a heading of its name in the run book: what to look at and what to press."""

from enum import StrEnum


class AlertName(StrEnum):
    """Which promise is broken; the value is what the ``alert`` table and the notices say."""

    UNDELIVERED = "undelivered"  #: of a destination: its oldest completion waits for longer than promised
    LATE_SHARE = "late_share"  #: of a destination: too small a share of 30 days' deliveries was in time
    SILENCE = "silence"  #: of a site: nothing was extracted for too long
    DEAD_ITEMS = "dead_items"  #: of a destination: too many items died within an hour
    DESTINATION_DOWN = "destination_down"  #: it does not answer, and has stored nothing since
    CREDENTIALS_FAILING = "credentials_failing"  #: of a site or destination: it takes no credentials of ours
    RECONCILE_DIFFERENCES = "reconcile_differences"  #: of a site: it was compared, and not all is alike
    RUN_FAILED = "run_failed"  #: of a task: it failed and is not tried again
    RUN_LATE = "run_late"  #: of a DAG: a run missed its deadline
