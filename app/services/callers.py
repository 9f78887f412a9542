"""Who asks."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated caller, as the authentication middleware found it."""

    key_id: str
    """Names the key without revealing it."""
    user_id: str | None = None
    """`X-User-ID`: such a caller sees only that user's conversations."""
    admin_id: str | None = None
    """`X-Admin-ID`: who acts on the admin APIs, for the record."""
