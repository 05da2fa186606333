"""Whatever a server writes into Retry-After, it is read as a time that can be waited for, or as nothing."""

from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from totara_bridge.oracle.retry_after import seconds_of

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = 86_400
_PARTS = ["Mon,", "01", "Jan", "2026", "9999", "0", "99999999999999999999", "00:00:00", "23:59:60", "GMT", "-2359",
          "+99999999999999", "-", ":", "(", "\x00", "٣"]  # fmt: skip


@given(st.lists(st.sampled_from(_PARTS), max_size=7).map(" ".join))
@example("Mon, 01 Jan 99999999999999999999 00:00:00 GMT")
@example("Jan 0 +99999999999999 12:59:59 0 12:59:59")
@example("Fri, 31 Dec 9999 23:59:59 -2359")
@example("9" * 5000)
def test_it_is_a_day_at_most_or_nothing(value: str) -> None:
    seconds = seconds_of(value, NOW)
    assert seconds is None or 0 <= seconds <= DAY


@pytest.mark.parametrize(
    ("value", "seconds"), [(None, None), (" 7 ", 7), ("Sun, 01 Mar 2026 12:01:00 GMT", 60), ("9999999", DAY)]
)
def test_seconds_and_dates_are_read(value: str | None, seconds: float | None) -> None:
    assert seconds_of(value, NOW) == seconds
