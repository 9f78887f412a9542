"""The sandbox contract: a handful of verbs over frozen values, the same for every provider.

Every verb may be repeated. `create` leaves nothing behind when it fails or is cancelled; `destroy` of an unknown id is
no error. A sandbox has two folders of its own, each holding one unix socket: *control* (the runner listens, the backend
connects) and *gateway* (the backend listens, the runner connects; read-only inside).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NewType, Protocol

SandboxId = NewType("SandboxId", str)

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """What a sandbox may use at most. Where the machine cannot enforce one, `Sandbox.unenforced` names it."""

    memory_bytes: int = 2048 * MEBIBYTE
    pids: int = 512
    """Processes and threads."""
    cpus: float = 2.0
    tmpfs_bytes: int = 512 * MEBIBYTE
    """Size of each writable tmpfs (`/tmp`, `/home/agent`)."""
    file_bytes: int = 1024 * MEBIBYTE
    """Largest single file."""
    open_files: int = 4096


@dataclass(frozen=True, slots=True)
class Mount:
    """A host folder shown read-only inside."""

    source: Path
    target: str


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    """All a provider needs to make one sandbox. No secret has a place in it."""

    sandbox_id: SandboxId
    """Unique, `[a-z0-9]{1,32}`; chosen by the caller, so that a repeated create is recognised."""
    workspace: Path | None
    """Host folder shown writable at `/workspace`; none: an empty sized tmpfs that goes with the sandbox."""
    limits: Limits = field(default_factory=Limits)
    mounts: tuple[Mount, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    """Shown by `list`; `owner` names the replica."""


@dataclass(frozen=True, slots=True)
class Exit:
    """How a sandbox ended."""

    reason: Literal["exited", "killed", "oom", "destroyed"]
    code: int | None
    """Exit code of the runner, or the negated signal number; none when destroyed."""
    log_tail: str
    """The last lines the runner wrote to its standard error, at most 8 KiB, for the operator's log only."""


class Sandbox(Protocol):
    """A running sandbox."""

    @property
    def sandbox_id(self) -> SandboxId: ...

    @property
    def control_folder(self) -> Path:
        """Host folder in which the runner's socket `control.sock` is (or will be in a moment)."""
        ...

    @property
    def gateway_folder(self) -> Path:
        """Host folder in which the backend is to listen on `gateway.sock`.

        The socket must let `peer_uid` connect (mode 0666): the folder keeps everyone else out.
        """
        ...

    @property
    def peer_uid(self) -> int:
        """The host's view of the uid of everything inside: what SO_PEERCRED must say."""
        ...

    @property
    def unenforced(self) -> tuple[str, ...]:
        """Limits this machine cannot enforce, in plain words; empty where all hold."""
        ...

    async def ended(self) -> Exit:
        """Wait until nothing of the sandbox runs any more. May be awaited many times and by many."""
        ...


class SandboxUnavailable(Exception):
    """The provider cannot make sandboxes now; the message says why, for the operator."""


class SandboxProvider(Protocol):
    """Makes, finds and ends sandboxes."""

    async def create(self, spec: SandboxSpec) -> Sandbox:
        """Start a sandbox with its runner; returns when the process is started, not when the runner listens.

        A repeated create of a living id returns that sandbox. Raises `SandboxUnavailable`.
        """
        ...

    async def attach(self, sandbox_id: SandboxId) -> Sandbox | None:
        """The living sandbox of that id, made by this or an earlier process of this replica; none if there is none."""
        ...

    async def destroy(self, sandbox_id: SandboxId) -> None:
        """End everything inside and remove every trace but the workspace. Returns when nothing is left."""
        ...

    async def list(self) -> tuple[Sandbox, ...]:
        """Every living sandbox of this provider that this replica owns."""
        ...
