"""Starts the chain of programs that is a sandbox, listens to it, and waits until all of it is gone."""

import asyncio
import json
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import Callable
from contextlib import ExitStack, suppress

from app.infrastructure.sandboxes.contract import SandboxUnavailable
from app.infrastructure.sandboxes.local.commands import Descriptors, Plan, arrangement, command, encoded, sandbox
from app.infrastructure.sandboxes.local.host import explain

START_DEADLINE_S = 20.0
LOG_TAIL_BYTES = 8 * 1024
CHUNK_BYTES = 64 * 1024
FLOOD_PAUSE_S = 0.01
"""Rest after a chunk that came full, so that a flood of output is slowed and costs the backend little."""


class LogTail:
    """The last bytes a sandbox wrote to its standard output and error."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def add(self, chunk: bytes) -> None:
        self._bytes += chunk
        del self._bytes[:-LOG_TAIL_BYTES]

    def __str__(self) -> str:
        return self._bytes.decode(errors="replace")


class Running:
    """A started chain. Made in the event loop's own thread: its programs die with the thread that started them."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._first_process: int | None = None
        self.tail = LogTail()
        self._drained = asyncio.create_task(self._drain())

    def adopt(self, pid: int) -> None:
        """Hold on to the first process of the pid namespace: when that is gone, all inside are."""
        self._first_process = os.pidfd_open(pid)

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            if self._first_process is None:
                self._process.kill()
            else:
                signal.pidfd_send_signal(self._first_process, signal.SIGKILL)

    async def wait(self) -> int:
        """The exit code, or the negated signal number, once nothing of the sandbox runs any more."""
        await self._drained
        code = await self._process.wait()
        if self._first_process is not None:
            await readable(self._first_process)
            os.close(self._first_process)
        return 128 - code if code > 128 else code

    async def _drain(self) -> None:
        """Read what it writes for ever, so that it never stops at a full pipe."""
        output = self._process.stdout
        while output and (chunk := await output.read(CHUNK_BYTES)):
            self.tail.add(chunk)
            if len(chunk) == CHUNK_BYTES:
                await asyncio.sleep(FLOOD_PAUSE_S)


async def start(plan: Plan, filter_program: bytes, admit: Callable[[int], None]) -> Running:
    """Start a sandbox; returns when its interpreter runs.

    `admit` is called with the pid of its first process while that still waits, before any program of the sandbox runs.
    Raises SandboxUnavailable, with nothing left running.
    """
    with ExitStack() as ours:
        with ExitStack() as theirs:
            report, info = pipe(ours, theirs)
            gate, go = pipe(theirs, ours)
            ready = kept(theirs, os.dup(info))
            handed = Descriptors(memory(theirs, filter_program), info, gate, ready)
            running = Running(await spawn(plan, handed, theirs))
        try:
            async with asyncio.timeout(START_DEADLINE_S):
                pid = await first_process(report)
                running.adopt(pid)
                admit(pid)
                os.write(go, b"1")
                await interpreter_running(report)
        except (EOFError, OSError, TimeoutError) as error:
            running.kill()
            await running.wait()
            raise SandboxUnavailable(explain(str(running.tail) or repr(error))) from error
    return running


async def spawn(plan: Plan, handed: Descriptors, theirs: ExitStack) -> Process:
    """Run the chain with an empty environment and no descriptors but those handed over."""
    inner = memory(theirs, encoded(sandbox(plan, handed)))
    outer = memory(theirs, encoded(arrangement(plan, handed))) if plan.uid is not None else inner
    descriptors = (handed.seccomp, handed.info, handed.gate, handed.ready, inner, outer)
    words = command(plan, outer, inner, handed.ready)
    return await asyncio.create_subprocess_exec(
        *words, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT, env={}, cwd="/", pass_fds=descriptors
    )


async def first_process(report: int) -> int:
    """The pid that bubblewrap tells, a JSON object, as soon as its namespaces exist."""
    said = b""
    while not said.rstrip().endswith(b"}"):
        said += await received(report)
    return int(json.loads(said)["child-pid"])


async def interpreter_running(report: int) -> None:
    """The interpreter says so itself."""
    while b"1" not in await received(report):
        pass


async def received(descriptor: int) -> bytes:
    await readable(descriptor)
    if not (chunk := os.read(descriptor, 4096)):
        raise EOFError("it ended while it started")
    return chunk


async def readable(descriptor: int) -> None:
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)


def pipe(reader: ExitStack, writer: ExitStack) -> tuple[int, int]:
    """A pipe's two ends, each closed with its owner's stack."""
    reading, writing = os.pipe()
    return kept(reader, reading), kept(writer, writing)


def memory(owner: ExitStack, content: bytes) -> int:
    """A descriptor to read `content` from."""
    descriptor = kept(owner, os.memfd_create("sandbox"))
    os.write(descriptor, content)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def kept(owner: ExitStack, descriptor: int) -> int:
    owner.callback(os.close, descriptor)
    return descriptor
