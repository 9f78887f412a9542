"""One sandbox of the local provider, from its start until nothing is left of it."""

import asyncio
import os
import signal
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import structlog

from app.infrastructure.sandboxes.contract import Exit, SandboxId
from app.infrastructure.sandboxes.local.cgroups import Group
from app.infrastructure.sandboxes.local.folders import SandboxFolder
from app.infrastructure.sandboxes.local.process import Running

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Footing:
    """What a sandbox stands on."""

    folder: SandboxFolder
    group: Group
    uid: int | None
    unenforced: tuple[str, ...]


class LocalSandbox:
    """One running sandbox; `made` undoes all that was made for it."""

    def __init__(self, sandbox_id: SandboxId, footing: Footing, running: Running, made: AsyncExitStack) -> None:
        self.sandbox_id = sandbox_id
        self.ending = False
        self._footing = footing
        self._running = running
        self._made = made
        self._destroyed = False
        self.end = asyncio.create_task(self._supervise(), name=f"sandbox {sandbox_id}")

    @property
    def control_folder(self) -> Path:
        return self._footing.folder.control

    @property
    def gateway_folder(self) -> Path:
        return self._footing.folder.gateway

    @property
    def peer_uid(self) -> int:
        return os.geteuid() if self._footing.uid is None else self._footing.uid

    @property
    def unenforced(self) -> tuple[str, ...]:
        return self._footing.unenforced

    async def ended(self) -> Exit:
        return await asyncio.shield(self.end)

    async def destroy(self) -> None:
        if not self.ending:
            self.ending = self._destroyed = True
            self._running.kill()
        await self.ended()

    async def _supervise(self) -> Exit:
        code = await self._running.wait()
        self.ending = True
        how = self._exit(code)
        try:
            await self._made.aclose()
        except OSError as error:  # the sandbox is over all the same; the next sweep tries again
            log.error("sandbox.left_over", sandbox=self.sandbox_id, error=str(error))
        return how

    def _exit(self, code: int) -> Exit:
        tail = str(self._running.tail)
        if self._destroyed:
            return Exit("destroyed", None, tail)
        if code >= 0:
            return Exit("exited", code, tail)
        out_of_memory = code == -signal.SIGKILL and self._footing.group.out_of_memory()
        return Exit("oom" if out_of_memory else "killed", code, tail)
