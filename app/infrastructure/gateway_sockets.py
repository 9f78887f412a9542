"""Makes the socket through which one sandbox reaches the gateway."""

import os
import socket
from contextlib import ExitStack
from pathlib import Path

from app.infrastructure.unix_sockets import reachable

NAME = "gateway.sock"
BACKLOG = 64


def listen(folder: Path, peer_uid: int) -> socket.socket:
    """A listening `gateway.sock` in that folder, in place of a former one, for that uid (and root) alone."""
    with ExitStack() as undo:
        listener = undo.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        with reachable(folder) as short:
            _bind(listener, Path(short) / NAME, peer_uid)
        listener.listen(BACKLOG)
        listener.setblocking(False)
        undo.pop_all()
    return listener


def _bind(listener: socket.socket, path: Path, peer_uid: int) -> None:
    path.unlink(missing_ok=True)
    listener.bind(str(path))
    path.chmod(0o600)
    if peer_uid != os.geteuid():
        os.chown(path, peer_uid, -1)
