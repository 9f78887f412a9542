"""Times as callers write them."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.utils.dates import first_moment, last_moment

TOKYO, BERLIN = ZoneInfo("Asia/Tokyo"), ZoneInfo("Europe/Berlin")


def test_a_bare_date_is_a_day_of_the_zone() -> None:
    assert first_moment("2026-03-01", TOKYO) == datetime(2026, 2, 28, 15, tzinfo=UTC)
    assert last_moment("2026-03-01", TOKYO) == datetime(2026, 3, 1, 14, 59, 59, 999_999, tzinfo=UTC)


@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-06-01", 24)])
def test_a_day_is_as_long_as_its_zone_says(day: str, hours: int) -> None:
    length = last_moment(day, BERLIN) - first_moment(day, BERLIN)
    assert length == timedelta(hours=hours) - timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-01T10:00:00", datetime(2026, 3, 1, 1, tzinfo=UTC)),
        ("2026-03-01 10:00", datetime(2026, 3, 1, 1, tzinfo=UTC)),
        ("2026-03-01T10:00:00Z", datetime(2026, 3, 1, 10, tzinfo=UTC)),
        ("2026-03-01T10:00:00.5-01:30", datetime(2026, 3, 1, 11, 30, 0, 500_000, tzinfo=UTC)),
        ("2026-03-01T10:00:00 01:00", datetime(2026, 3, 1, 9, tzinfo=UTC)),
    ],
)
def test_a_time_is_taken_as_it_is(text: str, moment: datetime) -> None:
    assert first_moment(text, TOKYO) == last_moment(text, TOKYO) == moment


@given(st.text() | st.from_regex(r"\d{4}-\d{2}-\d{2}(T[\d:.+Z -]{0,24})?", fullmatch=True))
def test_any_text_is_a_moment_in_utc_or_a_value_error(text: str) -> None:
    for parse in (first_moment, last_moment):
        try:
            assert parse(text, TOKYO).tzinfo is UTC
        except ValueError:
            continue
