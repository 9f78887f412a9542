"""What can go wrong, in a sentence for the person in front of the terminal."""

from pathlib import Path


class DemoFailed(Exception):
    """The demonstration cannot go on; the message says why."""

    log: Path | None = None
    """Where the server says more, if it was started."""
