"""A uid for each sandbox that no other sandbox of the machine has, whichever copy of the product made it."""

import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from app.infrastructure.sandboxes.contract import SandboxUnavailable


@contextmanager
def reserved_uid(uids: range) -> Iterator[int]:
    """Reserve a free uid for as long as the block lasts, or this process.

    The reservation is the name of an abstract socket: the kernel gives it once, and takes it back when we die.
    """
    for uid in random.sample(uids, len(uids)):
        with socket.socket(socket.AF_UNIX) as reservation:
            if claimed(reservation, uid):
                yield uid
                return
    raise SandboxUnavailable(f"Every uid from {uids.start} to {uids.stop - 1} is in use by a sandbox")


def claimed(reservation: socket.socket, uid: int) -> bool:
    try:
        reservation.bind(f"\0claude-agent-backend-uid-{uid}")
    except OSError:
        return False
    return True
