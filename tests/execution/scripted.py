"""A sandbox provider whose runner speaks the real protocol over a real socket, and says what a test scripts."""

import asyncio
import shutil
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.infrastructure.sandboxes.contract import Exit, SandboxId, SandboxSpec, SandboxUnavailable
from app.infrastructure.unix_sockets import reachable
from runner import protocol
from runner.protocol import Ack, Attach, Hello, Interrupt, Open, Prompt, StoreReply, commands


class Speaker:
    """What a script is given: says frames, hears interrupts, dies."""

    def __init__(self, sandbox: "ScriptedSandbox") -> None:
        self.sandbox = sandbox
        self.interrupted = asyncio.Event()

    async def say(self, kind: type[protocol.Frame], /, **fields: Any) -> None:
        await self.sandbox.send(kind, **fields)

    async def text(self, *pieces: str) -> None:
        """Deltas and the block they make."""
        for piece in pieces:
            await self.say(protocol.TextDelta, text=piece)
        await self.say(protocol.Text, text="".join(pieces))

    async def end(self, outcome: str = "success", **fields: Any) -> None:
        await self.say(protocol.TurnEnded, **{"outcome": outcome, "turns": 1, "duration_ms": 1} | fields)

    def die(self, reason: str = "killed") -> None:
        self.sandbox.end(Exit(reason, None, "last words"))  # type: ignore[arg-type]


Script = Callable[[Speaker], Awaitable[None]]


async def hello(speaker: Speaker) -> None:
    """The script of a turn that says hello."""
    await speaker.say(protocol.SessionInit, session_id="s", model="m", tools=("Bash",))
    await speaker.text("Hel", "lo")
    await speaker.end(result="Hello", context_tokens=1000)


@dataclass
class ScriptedSandbox:
    sandbox_id: SandboxId
    folder: Path
    scripts: dict[str, Script]
    peer_uid: int = 0
    unenforced: tuple[str, ...] = ()
    prompts: list[Prompt] = field(default_factory=list)
    opened: list[Open] = field(default_factory=list)
    acknowledged: int = 0
    replies: list[StoreReply] = field(default_factory=list)
    _seq: int = 0

    def __post_init__(self) -> None:
        self.control_folder.mkdir(parents=True)
        self.gateway_folder.mkdir()
        self._end: asyncio.Future[Exit] = asyncio.get_running_loop().create_future()
        self._turn: asyncio.Task[None] | None = None
        self._speaker: Speaker | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._server: asyncio.Server | None = None

    @property
    def control_folder(self) -> Path:
        return self.folder / "control"

    @property
    def gateway_folder(self) -> Path:
        return self.folder / "gateway"

    async def ended(self) -> Exit:
        return await asyncio.shield(self._end)

    async def listen(self) -> None:
        listener = socket.socket(socket.AF_UNIX)
        try:
            with reachable(self.control_folder) as short:
                listener.bind(f"{short}/{protocol.CONTROL_SOCKET}")
            self._server = await asyncio.start_unix_server(self._serve, sock=listener, limit=protocol.MAX_LINE)
        except BaseException:
            listener.close()
            raise

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        while line := await reader.readline():
            await self._obey(commands.validate_json(line))
        writer.close()

    async def _obey(self, command: protocol.Command) -> None:
        match command:
            case Attach():
                self._write(
                    Hello(runner_version="0", sdk_version="0", pid=2, open=False, turn=False, last_seq=self._seq)
                )
            case Open(options=options):
                self.opened.append(command)
                await self.send(protocol.Opened, session_id=options.session_id, elapsed_ms=1)
            case Prompt(text=text):
                self.prompts.append(command)
                self._speaker = Speaker(self)
                self._turn = asyncio.create_task(self._play(self.scripts.get(text, hello), self._speaker))
            case Interrupt():
                if self._speaker:
                    self._speaker.interrupted.set()
            case Ack(seq=seq):
                self.acknowledged = seq
            case StoreReply():
                self.replies.append(command)

    async def _play(self, script: Script, speaker: Speaker) -> None:
        await script(speaker)

    async def send(self, kind: type[protocol.Frame], /, **fields: Any) -> None:
        self._seq += 1
        self._write(kind(seq=self._seq, **fields))
        assert self._writer
        await self._writer.drain()

    def _write(self, message: protocol.Message) -> None:
        assert self._writer
        self._writer.write(message.model_dump_json().encode() + b"\n")

    def end(self, exit_: Exit) -> None:
        for ending in (self._server, self._writer):
            if ending:
                ending.close()
        if not self._end.done():
            self._end.set_result(exit_)

    async def close(self) -> None:
        self.end(Exit("destroyed", None, ""))
        if self._turn and not self._turn.done():
            self._turn.cancel()
            await asyncio.wait([self._turn])
        shutil.rmtree(self.folder, ignore_errors=True)


class ScriptedSandboxes:
    """The provider; scripts are found by the prompt's text."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.scripts: dict[str, Script] = {}
        self.living: dict[str, ScriptedSandbox] = {}
        self.made: list[ScriptedSandbox] = []
        self.broken = False

    async def create(self, spec: SandboxSpec) -> ScriptedSandbox:
        if self.broken:
            raise SandboxUnavailable("broken by the test")
        sandbox = ScriptedSandbox(spec.sandbox_id, self._folder / spec.sandbox_id, self.scripts)
        await sandbox.listen()
        self.living[spec.sandbox_id] = sandbox
        self.made.append(sandbox)
        return sandbox

    async def attach(self, sandbox_id: SandboxId) -> ScriptedSandbox | None:
        return self.living.get(sandbox_id)

    async def destroy(self, sandbox_id: SandboxId) -> None:
        sandbox = self.living.pop(sandbox_id, None)
        if sandbox:
            await sandbox.close()

    async def list(self) -> tuple[ScriptedSandbox, ...]:
        return tuple(self.living.values())
