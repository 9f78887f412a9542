"""Times as the wire shows them."""

from datetime import UTC, datetime


def stamp(at: datetime) -> str:
    """ISO 8601 in UTC with microseconds and `Z`."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
