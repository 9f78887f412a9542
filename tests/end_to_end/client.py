"""A client of the public API that keeps what it was sent, byte for byte."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import aiohttp

from tests.end_to_end.processes import API_KEY

SILENCE_SECONDS = 30.0
"""A living stream says something every 10 s."""
EXECUTOR = {"user_id": "ann", "name": "Ann", "email": "ann@acme.example"}

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Event:
    """One frame that is no comment."""

    id: int | None
    type: str
    data: Json
    raw: bytes
    """The frame as it came, up to and with its blank line."""


class Frames:
    """Cuts bytes into frames, strictly."""

    def __init__(self) -> None:
        self._unread = b""
        self.comments = 0

    @property
    def between(self) -> bool:
        return not self._unread

    def feed(self, chunk: bytes) -> list[Event]:
        *whole, self._unread = (self._unread + chunk).split(b"\n\n")
        events = [self._event(frame + b"\n\n") for frame in whole]
        return [event for event in events if event is not None]

    def _event(self, raw: bytes) -> Event | None:
        text = raw.decode()
        assert "\r" not in text
        if text.startswith(":"):
            self.comments += 1
            return None
        fields = dict(line.split(": ", 1) for line in text[:-2].split("\n"))
        assert list(fields) in (["id", "event", "data"], ["event", "data"]), text
        return Event(int(fields["id"]) if "id" in fields else None, fields["event"], json.loads(fields["data"]), raw)


@dataclass
class Answer:
    """An answer that is no stream."""

    status: int
    headers: Mapping[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.raw)

    @property
    def error(self) -> Json:
        """The error, in the one shape that errors have."""
        error: Json = self.body["error"]
        assert {"code", "message", "details", "request_id", "timestamp"} <= error.keys()
        assert error["request_id"] == self.headers["X-Request-ID"]
        return error


@dataclass
class Stream:
    """A stream as it is read; `events` holds the durable ones so far."""

    response: aiohttp.ClientResponse
    events: list[Event] = field(default_factory=list)
    pings: list[Event] = field(default_factory=list)
    _frames: Frames = field(default_factory=Frames)

    @property
    def run_id(self) -> str:
        return self.response.headers["X-Run-ID"]

    async def until(self, wanted: Callable[[Event], bool] | str) -> Event:
        """Read to an event, of that type or as described; what follows it in the same chunk is read too."""
        begun = 0
        while True:
            for event in self.events[begun:]:
                if event.type == wanted if isinstance(wanted, str) else wanted(event):
                    return event
            begun = len(self.events)
            assert await self._more(), f"the stream ended without {wanted}: {kinds(self.events)}"

    async def rest(self) -> list[Event]:
        """Read to the end; all events of the stream."""
        while await self._more():
            pass
        assert self._frames.between
        return self.events

    async def _more(self) -> bool:
        chunk = await asyncio.wait_for(self.response.content.readany(), SILENCE_SECONDS)
        for event in self._frames.feed(chunk):
            (self.pings if event.id is None else self.events).append(event)
        return bool(chunk)


class Api:
    """Talks to one server."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self.url = url

    async def call(self, method: str, path: str, body: object = None, **more: Any) -> Answer:
        """One request; `body` goes as JSON."""
        content = {} if body is None else {"json": body}
        async with self._session.request(method, f"{self.url}{path}", **content, **more) as response:
            return Answer(response.status, response.headers, await response.read())

    async def ask(self, method: str, path: str, body: object = None, **more: Any) -> Any:
        """As `call`, for what must succeed."""
        answer = await self.call(method, path, body, **more)
        assert answer.status < 300, (method, path, answer.status, answer.raw)
        return answer.body if answer.raw else None

    @asynccontextmanager
    async def stream(self, method: str, path: str, body: object = None, **more: Any) -> AsyncIterator[Stream]:
        content = {} if body is None else {"json": body}
        async with self._session.request(method, f"{self.url}{path}", **content, **more) as response:
            assert response.status == 200, (response.status, await response.text())
            yield Stream(response)


@asynccontextmanager
async def connected(url: str, key: str = API_KEY) -> AsyncIterator[Api]:
    patience = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=SILENCE_SECONDS)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(headers={"X-API-Key": key}, timeout=patience, connector=connector) as session:
        yield Api(session, url)


def message(text: str, **more: object) -> Json:
    """The body of a request to run."""
    return {"user_input": text, "executor": EXECUTOR, **more}


def form(text: str, **more: object) -> aiohttp.FormData:
    """The same as a form."""
    made = aiohttp.FormData(default_to_multipart=True)
    made.add_field("request_data", json.dumps(message(text, **more)))
    return made


@dataclass
class Talk:
    """One conversation."""

    api: Api
    tenant: str
    id: str

    @property
    def path(self) -> str:
        return f"/api/tenants/{self.tenant}/conversations/{self.id}"

    def through(self, api: Api) -> "Talk":
        """The same conversation at another server."""
        return Talk(api, self.tenant, self.id)

    @asynccontextmanager
    async def streaming(self, text: str, **more: object) -> AsyncIterator[Stream]:
        async with self.api.stream("POST", f"{self.path}/stream", message(text, **more)) as stream:
            yield stream

    async def turn(self, text: str, **more: object) -> list[Event]:
        """All events of a run, followed from its beginning to its end."""
        async with self.streaming(text, **more) as stream:
            return await stream.rest()

    async def begin(self, text: str, **more: object) -> str:
        """A run in the background; its id."""
        run = await self.api.ask("POST", f"{self.path}/runs", message(text, **more))
        return str(run["run_id"])

    @asynccontextmanager
    async def following(self, run_id: str, after: int | None = None, **more: Any) -> AsyncIterator[Stream]:
        query = "" if after is None else f"?after={after}"
        async with self.api.stream("GET", f"{self.path}/runs/{run_id}/events{query}", **more) as stream:
            yield stream

    async def events(self, run_id: str, after: int | None = None, **more: Any) -> list[Event]:
        """A run's events behind a cursor, to its end."""
        async with self.following(run_id, after, **more) as stream:
            return await stream.rest()

    async def run(self, run_id: str) -> Json:
        run: Json = await self.api.ask("GET", f"{self.path}/runs/{run_id}")
        return run

    async def cancel(self, run_id: str) -> Answer:
        return await self.api.call("POST", f"{self.path}/runs/{run_id}/cancel")

    async def messages(self) -> list[Json]:
        messages: list[Json] = await self.api.ask("GET", f"{self.path}/messages")
        return messages

    async def shown(self) -> Json:
        conversation: Json = await self.api.ask("GET", self.path)
        return conversation


def kinds(events: list[Event]) -> list[str]:
    return [event.type for event in events]


def of(kind: str, events: list[Event]) -> list[Json]:
    """What the events of one type say."""
    return [event.data for event in events if event.type == kind]


def raw(events: list[Event]) -> bytes:
    """The durable part of a stream as it came."""
    return b"".join(event.raw for event in events)


def text_of(events: list[Event]) -> str:
    """What the main agent said, in whole blocks."""
    said = [data for data in of("assistant", events) if "parent_agent_id" not in data]
    return "\n".join(block["text"] for data in said for block in data["content_blocks"])


def status_of(events: list[Event]) -> str:
    """How a run that was read to its end ended."""
    assert kinds(events).count("done") == 1
    assert events[-1].type == "done"
    return str(events[-1].data["status"])


def error_of(events: list[Event]) -> str | None:
    """The type of the error a run ended with."""
    errors = of("error", events)
    assert len(errors) <= 1
    return str(errors[0]["error_type"]) if errors else None


def check_numbers(events: list[Event]) -> None:
    """Of a whole run: 1..n, in order of time."""
    assert [event.id for event in events] == [event.data["seq"] for event in events] == [*range(1, len(events) + 1)]
    assert all(list(event.data)[:2] == ["seq", "timestamp"] for event in events)
    assert all(one.data["timestamp"] <= other.data["timestamp"] for one, other in pairwise(events))
