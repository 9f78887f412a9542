"""The session store that the backend keeps."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from claude_agent_sdk import SessionKey, SessionStoreEntry
from claude_agent_sdk.testing import run_session_store_conformance

from runner.outbox import LineTooLong, Outbox
from runner.protocol import MAX_LINE, Hello, StoreAppend, StoreReply, frames
from runner.protocol import SessionKey as OwnKey
from runner.server import Server
from runner.store import RelayedStore, StoreFailed
from tests.runner.client import Backend, Transcripts, connected

KEY: SessionKey = {"project_key": "p", "session_id": "s"}


@asynccontextmanager
async def stored(folder: Path) -> AsyncIterator[tuple[RelayedStore, Backend]]:
    """A store and the backend it is relayed to, over a real socket."""
    outbox = Outbox()
    store = RelayedStore(outbox)
    hello = Hello(runner_version="t", sdk_version="t", pid=1, open=False, turn=False, last_seq=0)
    server = Server(outbox, lambda: hello, lambda _: None, store.take)
    folder.mkdir(exist_ok=True)
    await server.listen(folder / "control.sock")
    async with connected(folder, Transcripts()) as backend:
        await backend.attach()
        yield store, backend
    await server.close()


@pytest.fixture
async def pair(folder: Path) -> AsyncIterator[tuple[RelayedStore, Backend]]:
    async with stored(folder) as pair:
        yield pair


async def test_it_passes_the_sdks_own_conformance_suite(folder: Path) -> None:
    async with AsyncExitStack() as opened:
        number = iter(range(1000))

        async def make() -> RelayedStore:
            store, _ = await opened.enter_async_context(stored(folder / str(next(number))))
            return store

        await run_session_store_conformance(make)  # type: ignore[arg-type]


async def test_a_transcript_longer_than_a_line_comes_in_several_replies(
    pair: tuple[RelayedStore, Backend],
) -> None:
    store, backend = pair
    backend.page = 3
    entries: list[SessionStoreEntry] = [{"type": "user", "uuid": str(number)} for number in range(10)]
    await store.append(KEY, entries)

    assert await store.load(KEY) == entries


async def test_entries_beyond_the_line_limit_travel_in_several_frames(pair: tuple[RelayedStore, Backend]) -> None:
    store, backend = pair
    entries: list[SessionStoreEntry] = [
        {"type": "user", "uuid": str(number), "timestamp": "x" * (MAX_LINE // 4)} for number in range(9)
    ]
    await store.append(KEY, entries)

    key = OwnKey(project_key="p", session_id="s")
    await backend.wait(lambda: len(backend.transcripts.load(key) or []) == 9)
    assert [entry["uuid"] for entry in backend.transcripts.load(key) or []] == [str(number) for number in range(9)]


async def test_an_entry_that_fits_into_no_line_is_reported_not_dropped() -> None:
    outbox, told = Outbox(), []
    store = RelayedStore(outbox)
    store.on_failure = told.append

    with pytest.raises(LineTooLong):
        await store.append(KEY, [{"type": "user", "timestamp": "x" * MAX_LINE}])
    assert len(told) == 1


async def test_an_append_waits_for_nobody() -> None:
    outbox = Outbox(capacity=1)
    store = RelayedStore(outbox)
    await asyncio.wait_for(store.append(KEY, [{"type": "a"}]), 1)
    await asyncio.wait_for(store.append(KEY, [{"type": "b"}]), 1)

    kept = [frames.validate_json(outbox.line(seq) or b"") for seq in (1, 2)]
    assert [frame.entries for frame in kept if isinstance(frame, StoreAppend)] == [[{"type": "a"}], [{"type": "b"}]]


async def test_an_append_that_the_backend_could_not_store_is_told() -> None:
    store, told = RelayedStore(Outbox()), []
    store.on_failure = told.append
    await store.append(KEY, [{"type": "a"}])
    store.take(StoreReply(request=1))
    assert told == []

    store.take(StoreReply(request=1, error="disk full"))
    assert told == ["disk full"]


@pytest.mark.parametrize("ask", [lambda store: store.load(KEY), lambda store: store.list_subkeys(KEY)])
async def test_a_question_the_backend_cannot_answer_raises(ask: Callable[[RelayedStore], object]) -> None:
    store = RelayedStore(Outbox())
    asked = asyncio.ensure_future(ask(store))  # type: ignore[call-overload]
    await asyncio.sleep(0)
    store.take(StoreReply(request=1, error="down"))

    with pytest.raises(StoreFailed, match="down"):
        await asked
    store.take(StoreReply(request=1))
