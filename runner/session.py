"""One Claude process from its start to its end, owned by one task."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from time import monotonic
from typing import Any, Literal
from uuid import uuid4

import anyio
from claude_agent_sdk import ClaudeAgentOptions, ClaudeSDKClient, Message, MirrorErrorMessage, ProcessError, ResultError
from claude_agent_sdk._errors import MessageParseError

from runner import processes
from runner.outbox import Outbox
from runner.protocol import Failed, Opened, Prompt
from runner.store import StoreFailed
from runner.translate import Turn, clean, translate

START_SECONDS = 60.0
SET_MODEL_SECONDS = 5.0
INTERRUPT_SECONDS = 5.0
INTERRUPT_AGAIN_SECONDS = 0.25
"""An interrupt that overtakes its prompt hits nothing, so it is repeated until the turn is over."""
LEAVE_SECONDS = 1.0
"""How long an idle CLI may take to leave by itself."""

_REFUSED = 1
"""The exit code by which the CLI refuses its options."""
_LOGGED_LINES = 20

log = logging.getLogger(__name__)

Kind = Literal["options", "start", "died", "store"]


class Session:
    """Follows the CLI's messages until it ends or is ended; others only ask it to speak or to stop."""

    def __init__(self, session_id: str, options: ClaudeAgentOptions, outbox: Outbox) -> None:
        self._stderr: deque[str] = deque(maxlen=_LOGGED_LINES)
        self._client = ClaudeSDKClient(replace(options, stderr=self._stderr.append))
        self._session_id = session_id
        self._model = options.model
        self._outbox = outbox
        self._scope = anyio.CancelScope()
        self._failure: tuple[Kind, str] | None = None
        self._turn_over = asyncio.Event()
        self._speaking: asyncio.Task[None] | None = None
        self.open = False
        self.turn: Turn | None = None
        self.own_children: set[int] = set()

    # --- what others may ask ------------------------------------------------------------------------------------------

    def speak(self, prompt: Prompt) -> None:
        """Begin a turn."""
        self.turn = Turn(uuid=str(uuid4()))
        self._turn_over.clear()
        self._speaking = asyncio.create_task(self._ask("deliver the prompt", self._speak(prompt, self.turn.uuid)))

    async def interrupt(self) -> None:
        """Stop the turn under way; a CLI that does not is ended."""
        if self.turn is None:
            return
        self.turn.interrupted = True
        try:
            async with asyncio.timeout(INTERRUPT_SECONDS):
                await self._ask("interrupt the turn", self._until_stopped())
        except TimeoutError:
            self.fail("died", f"the Claude process did not stop its turn within {INTERRUPT_SECONDS:g} s")

    def fail(self, kind: Kind, message: str) -> None:
        """End the process at once for a reason; the first one counts."""
        self._failure = self._failure or (kind, message)
        processes.kill_descendants()
        self._scope.cancel()

    def leave(self) -> None:
        """End the process because it is not needed any more."""
        if self.turn is not None:
            self.fail("died", "the Claude process was ended during its turn")
        if not self.open:
            processes.kill_descendants()
        self._scope.cancel()

    # --- the owner ----------------------------------------------------------------------------------------------------

    async def live(self, opened: asyncio.Event) -> None:
        """The whole life of the process; sets `opened` when the CLI waits for prompts or will never do so."""
        try:
            with self._scope:
                await self._work(opened)
        finally:
            self.open = False
            await self._end()
            self.turn = None
            self._turn_over.set()
            opened.set()

    async def _work(self, opened: asyncio.Event) -> None:
        try:
            await self._start()
            opened.set()
            await self._follow()
            self.fail("died", self._words("the Claude process ended"))
        except Exception as error:  # noqa: BLE001 - the SDK reports most failures as bare exceptions
            self.fail(self._kind(error), self._words(_told(error)))

    async def _start(self) -> None:
        begun = monotonic()
        words = f"the Claude process did not start within {START_SECONDS:g} s"
        deadline = asyncio.get_running_loop().call_later(START_SECONDS, self.fail, "start", words)
        try:
            await self._client.connect()
        finally:
            deadline.cancel()
        self.own_children = processes.children()
        self.open = True
        elapsed = round((monotonic() - begun) * 1000)
        self._outbox.put(partial(Opened, session_id=self._session_id, elapsed_ms=elapsed))

    async def _follow(self) -> None:
        while True:
            try:
                async for message in self._client.receive_messages():
                    await self._pass_on(message)
                return
            except MessageParseError as error:  # a known kind in a new shape: the stream behind it goes on
                log.warning("message skipped: %s", error)

    async def _pass_on(self, message: Message) -> None:
        if isinstance(message, MirrorErrorMessage):
            self.fail("store", message.error)
        if self.turn is None:
            return
        for draft in translate(message, self.turn):
            if self._outbox.full:
                await self._outbox.room()
            self._outbox.put(draft)
        if self.turn.ended:
            self.turn = None
            self._turn_over.set()

    async def _end(self) -> None:
        grace = LEAVE_SECONDS if self._failure is None else 0.0
        killing = asyncio.get_running_loop().call_later(grace, processes.kill_descendants)
        try:
            with suppress(Exception):  # it is being thrown away; nothing it could say matters
                await self._client.disconnect()
        finally:
            killing.cancel()
            processes.kill_descendants()
            if self._failure:
                kind, message = self._failure
                self._outbox.put(partial(Failed, kind=kind, message=clean(message)))

    # --- helpers ------------------------------------------------------------------------------------------------------

    async def _ask(self, what: str, request: Awaitable[None]) -> None:
        try:
            await request
        except Exception as error:  # noqa: BLE001 - the SDK reports most failures as bare exceptions
            self.fail("died", self._words(f"could not {what}: {error}"))

    async def _speak(self, prompt: Prompt, uuid: str) -> None:
        if prompt.model is not None and prompt.model != self._model:
            with anyio.fail_after(SET_MODEL_SECONDS):
                await self._client.set_model(prompt.model)
            self._model = prompt.model
        await self._client.query(_message(prompt.text, uuid))

    async def _until_stopped(self) -> None:
        while not self._turn_over.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(INTERRUPT_AGAIN_SECONDS):
                    await self._client.interrupt()
                    await self._turn_over.wait()

    def _kind(self, error: Exception) -> Kind:
        if self.open:
            return "died"
        if isinstance(error.__cause__, StoreFailed):
            return "store"
        refused = isinstance(error, ProcessError) and error.exit_code == _REFUSED
        return "options" if refused or isinstance(error, ValueError) else "start"

    def _words(self, message: str) -> str:
        return "\n".join((message, *self._stderr))


def _told(error: Exception) -> str:
    if isinstance(error, ProcessError) and not isinstance(error, ResultError):
        return f"the Claude process ended with exit code {error.exit_code}"
    return str(error) or type(error).__name__


async def _message(text: str, uuid: str) -> AsyncIterator[dict[str, Any]]:
    """The prompt as the user's own message.

    Text that begins with a slash is marked so that the CLI does not run it as a command of its own. Marking every
    prompt (the SDK's `verbatim_prompts`) would cost the listing of skills, which comes with an unmarked one.
    """
    message = {"type": "user", "message": {"role": "user", "content": text}, "parent_tool_use_id": None, "uuid": uuid}
    yield message | {"client_composed": True} if text.lstrip().startswith("/") else message
