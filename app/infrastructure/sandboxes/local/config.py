"""What the local provider must be told: places, uids and its owner's name."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class LocalConfig:
    """Where the local provider finds its parts and keeps its folders."""

    state: Path
    """Folder for the sandboxes' own folders; may be shared by several owners. Best reachable by this user alone."""
    owner: str
    """Name of this replica, `[A-Za-z0-9._-]{1,64}`. One living process per name and state folder."""
    runner: Path
    """The runner's package folder, shown at `/opt/runner/runner` and run as a module."""
    site_packages: Path
    """Folder of the runner's installed dependencies, shown at `/opt/runner/site-packages`."""
    python: Path
    """The interpreter for the runner and the agent; a virtual environment's resolves to the one it was made of."""
    seccomp_profile: Path
    """Profile in Docker's format."""
    uids: range = range(20_000, 30_000)
    """Uids to run sandboxes under when started as root; no account of the machine should use them."""
