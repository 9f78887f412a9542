"""The SDK's session store, kept by the backend: entries go out as frames, transcripts come back as replies."""

import asyncio
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any

from claude_agent_sdk import SessionKey as SdkKey
from claude_agent_sdk import SessionListSubkeysKey, SessionStoreEntry

from runner.outbox import LineTooLong, Outbox
from runner.protocol import SessionKey, StoreAppend, StoreLoad, StoreReply, StoreSubkeys


class StoreFailed(Exception):
    """The backend could not serve the session store."""


class _Waiting:
    """A request whose reply may come in several lines."""

    def __init__(self) -> None:
        self.entries: list[dict[str, Any]] | None = None
        self.last: asyncio.Future[StoreReply] = asyncio.get_running_loop().create_future()

    def take(self, reply: StoreReply) -> None:
        if reply.entries is not None:
            self.entries = [*(self.entries or ()), *reply.entries]
        if not reply.more and not self.last.done():
            self.last.set_result(reply)


class RelayedStore:
    """A `SessionStore` of the SDK's.

    An append is done once the outbox has it: nothing is lost there, and no turn waits for a commit.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._requests = count(1)
        self._waiting: dict[int, _Waiting] = {}
        self.on_failure: Callable[[str], None] = lambda _: None
        """Called when entries cannot be stored."""

    async def append(self, key: SdkKey, entries: list[SessionStoreEntry]) -> None:
        try:
            self._send(_own(key), [dict(entry) for entry in entries])
        except LineTooLong as error:
            self.on_failure(str(error))
            raise

    async def load(self, key: SdkKey) -> list[SessionStoreEntry] | None:
        waiting = await self._ask(partial(StoreLoad, key=_own(key)))
        return waiting.entries  # type: ignore[return-value]  # entries are opaque JSON

    async def list_subkeys(self, key: SessionListSubkeysKey) -> list[str]:
        waiting = await self._ask(partial(StoreSubkeys, key=SessionKey(**key)))
        return waiting.last.result().subkeys or []

    def take(self, reply: StoreReply) -> None:
        """Hand over the backend's reply. One to nobody counts only if it tells of a failed append."""
        waiting = self._waiting.get(reply.request)
        if waiting:
            waiting.take(reply)
        elif reply.error is not None:
            self.on_failure(reply.error)

    def _send(self, key: SessionKey, entries: list[dict[str, Any]]) -> None:
        try:
            self._outbox.put(partial(StoreAppend, request=next(self._requests), key=key, entries=entries))
        except LineTooLong:
            if len(entries) == 1:
                raise
            middle = len(entries) // 2
            self._send(key, entries[:middle])
            self._send(key, entries[middle:])

    async def _ask(self, draft: Callable[..., StoreLoad | StoreSubkeys]) -> _Waiting:
        request = next(self._requests)
        waiting = self._waiting[request] = _Waiting()
        try:
            self._outbox.put(partial(draft, request=request))
            reply = await waiting.last
        finally:
            del self._waiting[request]
        if reply.error is not None:
            raise StoreFailed(reply.error)
        return waiting


def _own(key: SdkKey) -> SessionKey:
    return SessionKey(project_key=key["project_key"], session_id=key["session_id"], subpath=key.get("subpath"))
