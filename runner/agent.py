"""Carries out the backend's commands, one after the other, on at most one Claude process."""

import asyncio
from functools import partial

from runner.config import Config
from runner.options import sdk_options
from runner.outbox import Outbox
from runner.protocol import AgentOptions, Failed, Interrupt, Open, Prompt
from runner.session import Session
from runner.store import RelayedStore


class Agent:
    """The conversation's agent: none, opening, idle or in a turn."""

    def __init__(self, config: Config, relay_port: int, outbox: Outbox, store: RelayedStore) -> None:
        self._config = config
        self._relay_port = relay_port
        self._outbox = outbox
        self._store = store
        self._commands: asyncio.Queue[Open | Prompt | Interrupt] = asyncio.Queue()
        self._session: Session | None = None
        self._life: asyncio.Task[None] | None = None

    @property
    def open(self) -> bool:
        return self._session is not None and self._session.open

    @property
    def turn(self) -> bool:
        return self._session is not None and self._session.turn is not None

    @property
    def own_children(self) -> set[int] | None:
        """Processes the SDK itself waits for; none while one is being started."""
        if self._life is None or self._life.done():
            return set()
        return self._session.own_children or None if self._session else set()

    def submit(self, command: Open | Prompt | Interrupt) -> None:
        self._commands.put_nowait(command)

    def store_failed(self, message: str) -> None:
        """A transcript with a hole must not be gone on with."""
        if self._session is not None:
            self._session.fail("store", message)

    async def run(self) -> None:
        """Carry out commands until cancelled."""
        while True:
            match await self._commands.get():
                case Open(options=options):
                    await self._open(options)
                case Prompt() as prompt:
                    self._prompt(prompt)
                case Interrupt():
                    await self._interrupt()

    async def close(self) -> None:
        """End the Claude process, if there is one."""
        if self._session is None or self._life is None:
            return
        self._session.leave()
        await asyncio.wait([self._life])
        self._session = self._life = None

    async def _open(self, options: AgentOptions) -> None:
        await self.close()
        try:
            chosen = sdk_options(options, self._config, self._relay_port, self._store)
        except (ValueError, TypeError) as error:
            self._refuse("options", str(error))
            return
        opened = asyncio.Event()
        self._session = Session(options.session_id, chosen, self._outbox)
        self._life = asyncio.create_task(self._session.live(opened))
        await opened.wait()

    def _prompt(self, prompt: Prompt) -> None:
        if self._session is None or not self._session.open:
            self._refuse("protocol", "a prompt came without a Claude process")
        elif self._session.turn is not None:
            self._refuse("protocol", "a prompt came during a turn")
        else:
            self._session.speak(prompt)

    async def _interrupt(self) -> None:
        if self._session is not None:
            await self._session.interrupt()

    def _refuse(self, kind: str, message: str) -> None:
        self._outbox.put(partial(Failed, kind=kind, message=message))
