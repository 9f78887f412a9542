"""How a server is started: never as root, able to reach its folders, no longer alive than the thread that starts it."""

import os
import pwd
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from app.infrastructure.embedded.errors import EmbeddedServiceError

SERVER_UID = 19999
"""Who servers run as when this program is root. No account is needed."""

ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}

NEUTRAL = ("/mnt", "/media", "/srv", "/opt", "/tmp")  # noqa: S108 - covered in a private mount namespace, never written

SHOW_FOLDERS = """
neutral=$1 packages=$2 data=$3 user=$4; shift 4
mount -n -t tmpfs -o mode=0755,size=1m embedded "$neutral"
mkdir "$neutral/packages" "$neutral/data"
mount -n --bind "$packages" "$neutral/packages"
mount -n --bind "$data" "$neutral/data"
{ cat /etc/passwd; echo "embedded:x:$user:$user::/:/bin/false"; } > "$neutral/passwd"
mount -n --bind "$neutral/passwd" /etc/passwd
exec "$@"
"""
"""Gives the server's user a name and a way to folders under a home closed to it, in a mount namespace of its own."""

UNLESS_ORPHANED = 'test "$PPID" = "$1" || exit 1; shift; exec "$@"'
"""Closes the gap between the start and the moment from which the parent's end is signalled."""


@dataclass(frozen=True, slots=True)
class Quarters:
    """The names under which a server reaches its folders, and the command that starts it there."""

    packages: str
    """The site-packages folder with the server's program and libraries."""
    data: str
    uid: int
    entrance: tuple[str, ...]

    def command(self, program: str, *arguments: str, orphaned: str = "KILL") -> tuple[str, ...]:
        """Runs a program of the packages folder as one process; `orphaned` is the signal for when its starter ends."""
        return (
            *self.entrance,
            *("setpriv", "--no-new-privs", "--pdeathsig", orphaned),
            *("sh", "-c", UNLESS_ORPHANED, "sh", str(os.getpid())),
            *(f"{self.packages}/{program}", *arguments),
        )


def find_quarters(package: str, folder: Path) -> Quarters:
    """Where a server from the named package can run on the folder."""
    packages = _packages_of(package)
    return _lodger(packages, folder) if os.geteuid() == 0 else _owner(packages, folder)


def _packages_of(package: str) -> Path:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedServiceError(f"The package {package} is not installed; install it or set the service's address")
    return Path(spec.submodule_search_locations[0]).resolve().parent


def _owner(packages: Path, folder: Path) -> Quarters:
    return Quarters(str(packages), str(folder), os.geteuid(), _nameplate())


def _nameplate() -> tuple[str, ...]:
    """initdb insists that its user has a name; a user without an account borrows one in a user namespace."""
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        return ("unshare", "--user", "--map-user", "1", "--map-group", "1", "--")
    return ()


def _lodger(packages: Path, folder: Path) -> Quarters:
    neutral = _neutral((packages, folder))
    uid = str(SERVER_UID)
    entrance = (
        *("unshare", "--mount", "--propagation", "private", "--"),
        *("sh", "-euc", SHOW_FOLDERS, "sh", neutral, str(packages), str(folder), uid),
        *("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"),
    )
    return Quarters(f"{neutral}/packages", f"{neutral}/data", SERVER_UID, entrance)


def _neutral(shown: Iterable[Path]) -> str:
    """An existing folder that may be covered, because nothing we need lies in it."""
    return next(name for name in NEUTRAL if Path(name).is_dir() and not any(p.is_relative_to(name) for p in shown))


def make_empty(path: Path, quarters: Quarters) -> None:
    """An empty folder that only the server and root may enter; one that exists is emptied, not replaced."""
    path.mkdir(mode=0o700, exist_ok=True)
    for left in path.iterdir():
        left.unlink()
    if quarters.uid != os.geteuid():
        os.chown(path, quarters.uid, quarters.uid)
