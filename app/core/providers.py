"""Picks the sandbox provider."""

import sys
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from app.config import ROOT, Settings
from app.infrastructure.sandboxes.contract import Limits, SandboxProvider
from app.infrastructure.sandboxes.local import LocalConfig, open_local

MEBIBYTE = 1024 * 1024
UIDS = 1000


def open_sandboxes(settings: Settings, owner: str) -> AbstractAsyncContextManager[SandboxProvider]:
    """The provider of the settings; leaving the block ends its sandboxes."""
    wanted = settings.sandboxes
    return open_local(
        LocalConfig(
            state=settings.server.data_dir / "sandboxes",
            owner=owner,
            runner=ROOT / "runner",
            site_packages=wanted.sandbox_site_packages,
            python=Path(sys.executable),
            seccomp_profile=ROOT / "deployment" / "seccomp" / "sandbox.json",
            uids=range(wanted.sandbox_uid_base, wanted.sandbox_uid_base + UIDS),
        )
    )


def limits(settings: Settings) -> Limits:
    """What every sandbox may use."""
    wanted = settings.sandboxes
    return Limits(
        memory_bytes=wanted.sandbox_memory * MEBIBYTE,
        pids=wanted.sandbox_pids,
        cpus=wanted.sandbox_cpus,
        tmpfs_bytes=wanted.sandbox_tmpfs * MEBIBYTE,
    )
