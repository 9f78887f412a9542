"""Shapes of identifiers."""

import re
from uuid import UUID

CHOSEN_ID = "^[A-Za-z0-9._@:-]{1,100}$"
"""What callers may choose as an id, save `.` and `..`, which no URL can carry."""

_CHOSEN = re.compile(CHOSEN_ID.removesuffix("$") + r"\Z")
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")


def is_chosen_id(text: str) -> bool:
    """Whether the text has the shape of a tenant's, model's or user's id."""
    return _CHOSEN.match(text) is not None and text not in {".", ".."}


def parse_uuid(text: str) -> UUID | None:
    """The UUID of its usual spelling, hyphens included; none for anything else."""
    return UUID(text) if _UUID.match(text) else None
