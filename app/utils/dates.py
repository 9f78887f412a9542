"""Times as callers write them."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, tzinfo

_BARE_DATE = re.compile(r"\d{4}-\d{2}-\d{2}\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Period:
    """A stretch of time, both ends included; none is open."""

    start: datetime | None = None
    end: datetime | None = None


def _bare_date(text: str) -> date | None:
    return date.fromisoformat(text) if _BARE_DATE.match(text) else None


def _moment(text: str, zone: tzinfo) -> datetime:
    written = text.replace(" ", "+") if "T" in text else text  # a plus sign in a query that nobody escaped
    moment = datetime.fromisoformat(written)
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)


def _utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("out of range") from error


def first_moment(text: str, zone: tzinfo) -> datetime:
    """The moment in UTC, a bare date being its day's first. Raises ValueError."""
    day = _bare_date(text)
    return _utc(datetime.combine(day, time.min, zone) if day else _moment(text, zone))


def last_moment(text: str, zone: tzinfo) -> datetime:
    """The moment in UTC, a bare date being its day's last microsecond. Raises ValueError."""
    day = _bare_date(text)
    return _utc(datetime.combine(day, time.max, zone).replace(fold=1) if day else _moment(text, zone))
