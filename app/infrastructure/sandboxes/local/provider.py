"""Sandboxes on this machine by bubblewrap, held by this process and ended with it."""

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from weakref import WeakValueDictionary

from app.infrastructure.sandboxes import seccomp
from app.infrastructure.sandboxes.contract import SandboxId, SandboxSpec, SandboxUnavailable
from app.infrastructure.sandboxes.local import host
from app.infrastructure.sandboxes.local.cgroups import Controller, Group, find_controllers
from app.infrastructure.sandboxes.local.commands import NEUTRAL, WORKSPACE, Bind, Plan, interpreter_binds
from app.infrastructure.sandboxes.local.config import LocalConfig
from app.infrastructure.sandboxes.local.folders import OwnerFolder, SandboxFolder, owned
from app.infrastructure.sandboxes.local.interpreter import Interpreter, find_interpreter
from app.infrastructure.sandboxes.local.process import start
from app.infrastructure.sandboxes.local.sandbox import Footing, LocalSandbox
from app.infrastructure.sandboxes.local.uids import reserved_uid
from app.infrastructure.sandboxes.trees import give_tree

SANDBOX_ID = re.compile(r"[a-z0-9]{1,32}")


@dataclass(frozen=True, slots=True)
class Machine:
    """What was found out once, when the provider was opened."""

    tools: host.Tools
    system: tuple[str, ...]
    etc: tuple[str, ...]
    interpreter: Interpreter
    filter_program: bytes
    controllers: dict[str, Controller]


DISK_IS_OPEN = "disk: the workspace may fill its file system; only the size of a single file is limited"


class LocalSandboxes:
    """The provider. Used by one event loop, in a thread that lives as long as the sandboxes are to live."""

    def __init__(self, config: LocalConfig, machine: Machine, folder: OwnerFolder) -> None:
        self._config = config
        self._machine = machine
        self._folder = folder
        self._closed = False
        self._living: dict[SandboxId, LocalSandbox] = {}
        self._turns: WeakValueDictionary[SandboxId, asyncio.Lock] = WeakValueDictionary()

    async def create(self, spec: SandboxSpec) -> LocalSandbox:
        check(spec)
        async with self._turn(spec.sandbox_id):
            present = self._living.get(spec.sandbox_id)
            if present and not present.ending:
                return present
            if present:
                await present.ended()
            return await self._create_whole(spec)

    async def attach(self, sandbox_id: SandboxId) -> LocalSandbox | None:
        """Those of an earlier process died with it, so only this process's own can be found."""
        present = self._living.get(sandbox_id)
        return None if present is None or present.ending else present

    async def destroy(self, sandbox_id: SandboxId) -> None:
        async with self._turn(sandbox_id):
            if present := self._living.get(sandbox_id):
                await present.destroy()

    async def list(self) -> tuple[LocalSandbox, ...]:
        return tuple(sandbox for sandbox in self._living.values() if not sandbox.ending)

    async def close(self) -> None:
        """End every sandbox and refuse new ones."""
        self._closed = True
        ids = {*self._living, *self._turns}
        await asyncio.gather(*(self.destroy(sandbox_id) for sandbox_id in ids))

    def _turn(self, sandbox_id: SandboxId) -> asyncio.Lock:
        """One verb at a time per sandbox."""
        return self._turns.setdefault(sandbox_id, asyncio.Lock())

    async def _create_whole(self, spec: SandboxSpec) -> LocalSandbox:
        """Create it, or, when cancelled meanwhile, leave nothing of it."""
        creating = asyncio.create_task(self._create(spec))
        try:
            return await asyncio.shield(creating)
        except asyncio.CancelledError:
            await to_the_end(abandon(creating))
            raise

    async def _create(self, spec: SandboxSpec) -> LocalSandbox:
        if self._closed:
            raise SandboxUnavailable("The sandbox provider is closed")
        async with AsyncExitStack() as made:
            try:
                footing = await self._footing(spec, made)
                running = await start(self._plan(spec, footing), self._machine.filter_program, footing.group.admit)
            except OSError as error:
                raise SandboxUnavailable(f"A sandbox could not be made: {error}") from error
            sandbox = LocalSandbox(spec.sandbox_id, footing, running, made.pop_all())
        self._living[spec.sandbox_id] = sandbox
        sandbox.end.add_done_callback(lambda _: self._living.pop(spec.sandbox_id))
        return sandbox

    async def _footing(self, spec: SandboxSpec, made: AsyncExitStack) -> Footing:
        """Everything the programs need before they start."""
        uid = made.enter_context(reserved_uid(self._config.uids)) if host.is_root() else None
        group = Group(group_name(self._folder.path.name, spec.sandbox_id), self._machine.controllers)
        folder = self._folder.sandbox(spec.sandbox_id)
        await folder.remove()
        made.push_async_callback(folder.remove)
        folder.create(uid, group.folders)
        if uid is not None and spec.workspace is not None:
            await asyncio.to_thread(give_tree, spec.workspace, uid)
        return Footing(folder, group, uid, (*group.create(spec.limits), DISK_IS_OPEN))

    def _plan(self, spec: SandboxSpec, footing: Footing) -> Plan:
        return Plan(
            tools=self._machine.tools,
            system=self._machine.system,
            etc=self._machine.etc,
            interpreter=self._machine.interpreter,
            binds=tuple(self._binds(spec, footing.folder)),
            limits=spec.limits,
            environment=spec.environment,
            uid=footing.uid,
        )

    def _binds(self, spec: SandboxSpec, folder: SandboxFolder) -> Iterator[Bind]:
        yield Bind(str(self._folder.etc), "/etc")
        yield from interpreter_binds(self._machine.interpreter)
        yield Bind(str(self._config.runner), "/opt/runner/runner")
        yield Bind(str(self._config.site_packages), "/opt/runner/site-packages")
        yield Bind(str(folder.control), "/run/control", writable=True)
        yield Bind(str(folder.gateway), "/run/gateway")
        if spec.workspace is not None:
            yield Bind(str(spec.workspace), WORKSPACE, writable=True)
        for mount in spec.mounts:
            yield Bind(str(mount.source), mount.target)


def group_name(owner: str, sandbox_id: SandboxId) -> str:
    """Unlike any other of the machine: another copy of the product may use the same names."""
    return f"sandbox-{owner}-{sandbox_id}-{secrets.token_hex(4)}"


def check(spec: SandboxSpec) -> None:
    """Names that become paths are what they seem."""
    if not SANDBOX_ID.fullmatch(spec.sandbox_id):
        raise ValueError("A sandbox's id is 1 to 32 of a-z 0-9")
    for mount in spec.mounts:
        target = PurePosixPath(mount.target)
        if not target.is_absolute() or ".." in target.parts or len(target.parts) < 2:
            raise ValueError("The target of a mount is an absolute path without ..")


async def abandon(creating: asyncio.Task[LocalSandbox]) -> None:
    """Wait for a creation that nobody wants any more, and undo it."""
    with suppress(SandboxUnavailable):
        await (await creating).destroy()


async def to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Do a work whole, however often the caller is cancelled meanwhile."""
    task = asyncio.create_task(work)
    while not task.done():
        with suppress(asyncio.CancelledError):
            await asyncio.shield(task)
    task.result()


def survey(config: LocalConfig) -> Machine:
    """Look at the machine once. Raises SandboxUnavailable where it cannot make sandboxes."""
    if host.is_root() and not Path(NEUTRAL).is_dir():
        raise SandboxUnavailable(f"The folder {NEUTRAL} is missing; make it, empty: mkdir {NEUTRAL}")
    return Machine(
        tools=host.find_tools(),
        system=host.system_root(),
        etc=host.system_etc(),
        interpreter=find_interpreter(config.python),
        filter_program=seccomp.compiled(config.seccomp_profile),
        controllers=find_controllers(),
    )


@asynccontextmanager
async def open_local(config: LocalConfig) -> AsyncIterator[LocalSandboxes]:
    """The local provider; leaving the block ends every sandbox. Raises SandboxUnavailable, with what to do about it."""
    machine = survey(config)
    async with owned(config.state, config.owner) as folder:
        folder.prepare(host.etc_entries())
        provider = LocalSandboxes(config, machine, folder)
        try:
            yield provider
        finally:
            await to_the_end(provider.close())
