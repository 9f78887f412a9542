"""A backend for tests: speaks the control protocol and keeps transcripts in memory."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from runner.protocol import (
    CONTROL_SOCKET,
    MAX_LINE,
    Ack,
    AgentOptions,
    Attach,
    Frame,
    Hello,
    Message,
    Open,
    Prompt,
    SessionKey,
    StoreAppend,
    StoreLoad,
    StoreReply,
    StoreSubkeys,
    TurnEnded,
    frames,
)

FrameT = TypeVar("FrameT", bound=Frame)
TOOLS = ("Bash", "Read", "Write", "Edit", "Glob", "Grep", "Agent")


class Transcripts:
    """What the backend's session store holds: entries by key, repeated ones once."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str, str | None], list[dict[str, Any]]] = {}

    def append(self, key: SessionKey, entries: list[dict[str, Any]]) -> None:
        rows = self.kept.setdefault(_of(key), [])
        known = {entry["uuid"] for entry in rows if "uuid" in entry}
        rows.extend(entry for entry in entries if entry.get("uuid") not in known)

    def load(self, key: SessionKey) -> list[dict[str, Any]] | None:
        return self.kept.get(_of(key))

    def subkeys(self, key: SessionKey) -> list[str]:
        wanted = (key.project_key, key.session_id)
        return [path for *owner, path in self.kept if tuple(owner) == wanted and path]


def _of(key: SessionKey) -> tuple[str, str, str | None]:
    return key.project_key, key.session_id, key.subpath


class Backend:
    """One attached connection; answers store requests and acknowledges, unless told not to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, transcripts: Transcripts) -> None:
        self._reader, self._writer = reader, writer
        self.transcripts = transcripts
        self.hello: Hello | None = None
        self.frames: list[Frame] = []
        self.acknowledging = True
        self.answering = True
        self.store_error: str | None = None
        self.page = 1000
        """Entries in one reply."""
        self.lost = asyncio.Event()
        self._news = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None

    async def attach(self, after: int = 0) -> Hello:
        self.send(Attach(after=after))
        line = await asyncio.wait_for(self._reader.readline(), 20)
        hello = frames.validate_json(line)
        assert isinstance(hello, Hello)
        self.hello = hello
        self._reading = asyncio.create_task(self._read())
        return hello

    def send(self, message: Message) -> None:
        self._writer.write(message.model_dump_json().encode() + b"\n")

    def send_raw(self, line: bytes) -> None:
        self._writer.write(line)

    def open(self, options: AgentOptions) -> None:
        self.send(Open(options=options))

    def prompt(self, text: str, model: str | None = None) -> None:
        self.send(Prompt(text=text, model=model))

    async def turn(self, text: str, seconds: float = 30) -> list[Frame]:
        """Speak, and wait for the end of the turn: every frame of it."""
        begun = len(self.frames)
        self.prompt(text)
        await self.wait(lambda: any(f.type in {"turn_ended", "failed"} for f in self.frames[begun:]), seconds)
        return self.frames[begun:]

    async def next(self, kind: type[FrameT], after: int = 0, seconds: float = 30) -> FrameT:
        """The first frame of a kind from position `after` on, waited for."""
        await self.wait(lambda: bool(of(kind, self.frames[after:])), seconds)
        return of(kind, self.frames[after:])[0]

    async def wait(self, true: Callable[[], bool], seconds: float = 30) -> None:
        """Wait until frames have made something true."""
        try:
            async with asyncio.timeout(seconds):
                while not true():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            seen = Counter(frame.type for frame in self.frames)
            raise AssertionError(f"not within {seconds} s: {dict(seen)}, last {self.frames[-1:]}"[:2000]) from None

    async def close(self) -> None:
        if self._reading:
            self._reading.cancel()
        self._writer.close()
        await asyncio.wait([asyncio.create_task(self._writer.wait_closed())])

    async def _read(self) -> None:
        try:
            while line := await self._reader.readline():
                frame = frames.validate_json(line)
                assert isinstance(frame, Frame)
                self._serve(frame)
                if self.acknowledging:
                    self.send(Ack(seq=frame.seq))
                self.frames.append(frame)
                self._news.set()
        except ConnectionError:
            pass
        finally:
            self.lost.set()

    def _serve(self, frame: Frame) -> None:
        if not self.answering:
            return
        if isinstance(frame, StoreAppend | StoreLoad | StoreSubkeys) and self.store_error:
            self.send(StoreReply(request=frame.request, error=self.store_error))
        elif isinstance(frame, StoreAppend):
            self.transcripts.append(frame.key, frame.entries)
        elif isinstance(frame, StoreLoad):
            self._reply_in_pages(frame)
        elif isinstance(frame, StoreSubkeys):
            self.send(StoreReply(request=frame.request, subkeys=self.transcripts.subkeys(frame.key)))

    def _reply_in_pages(self, frame: StoreLoad) -> None:
        entries = self.transcripts.load(frame.key)
        rest = entries or []
        while len(rest) > self.page:
            self.send(StoreReply(request=frame.request, entries=rest[: self.page], more=True))
            rest = rest[self.page :]
        self.send(StoreReply(request=frame.request, entries=None if entries is None else rest))


def of(kind: type[FrameT], found: list[Frame]) -> list[FrameT]:
    return [frame for frame in found if isinstance(frame, kind)]


def said(found: list[Frame]) -> str:
    """The text of every delta."""
    return "".join(frame.text for frame in found if frame.type == "text_delta")  # type: ignore[attr-defined]


def outcome(found: list[Frame]) -> TurnEnded:
    assert isinstance(found[-1], TurnEnded), found[-1]
    return found[-1]


@asynccontextmanager
async def connected(folder: Path, transcripts: Transcripts | None = None) -> AsyncIterator[Backend]:
    """A connection to the runner of a control folder, not yet attached."""
    reader, writer = await asyncio.open_unix_connection(str(folder / CONTROL_SOCKET), limit=MAX_LINE)
    backend = Backend(reader, writer, Transcripts() if transcripts is None else transcripts)
    try:
        yield backend
    finally:
        await backend.close()


def calls_by_model(counters: dict[str, Any]) -> Counter[str]:
    """How often each model was called, from the stand-in's counters."""
    return Counter(call["model"] for call in counters["calls"])
