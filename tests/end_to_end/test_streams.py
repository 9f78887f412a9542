"""A stream that breaks goes on where it broke, as often as it breaks, and wherever."""

import asyncio
import random
from urllib.parse import urlsplit

import pytest

from tests.end_to_end.client import Event, Frames, Talk, kinds, message, raw, status_of
from tests.end_to_end.conftest import PING_SECONDS, House
from tests.end_to_end.processes import API_KEY

pytestmark = [pytest.mark.needs_cli, pytest.mark.needs_bubblewrap, pytest.mark.slow]

LONG = '@text begin\n@think well\n@tool Bash {"command": "echo 1"}\n' + "".join(
    f"@text part {number}\n@wait 0.03\n" for number in range(15)
)
"""A run of more than forty events that takes a while."""
ACCEPT_JSON = {"Accept": "application/json"}


async def test_a_stream_cut_after_each_event_goes_on_without_loss_or_repeat(talk: Talk) -> None:
    async with talk.streaming(LONG) as stream:
        whole = await stream.rest()
    assert len(whole) >= 40
    assert [event.id for event in whole] == [*range(1, len(whole) + 1)]
    for cut in range(len(whole) + 1):
        by_query = await talk.events(stream.run_id, cut)
        by_header = await talk.events(stream.run_id, headers={"Last-Event-ID": str(cut)})
        assert raw(by_query) == raw(by_header) == raw(whole[cut:])
    async with talk.following(stream.run_id, 3, headers={"Last-Event-ID": "9"}) as other:
        assert other.run_id == stream.run_id
        assert (await other.rest())[0].id == 4
    await check_pages(talk, stream.run_id, whole)
    await check_bad_cursors(talk, stream.run_id, len(whole))


async def check_pages(talk: Talk, run_id: str, whole: list[Event]) -> None:
    """The same events as JSON, a page at a time."""
    path, after, found = f"{talk.path}/runs/{run_id}/events", 0, []
    while True:
        page = await talk.api.ask("GET", f"{path}?after={after}&limit=7", headers=ACCEPT_JSON)
        found += page["items"]
        after = page["last_event_id"]
        if page["ended"]:
            break
        assert len(page["items"]) == 7
    assert found == [{"id": event.id, "event": event.type, "data": event.data} for event in whole]
    beyond = await talk.api.ask("GET", f"{path}?after={after}", headers=ACCEPT_JSON)
    assert (beyond["items"], beyond["last_event_id"]) == ([], len(whole))


async def check_bad_cursors(talk: Talk, run_id: str, last: int) -> None:
    path = f"{talk.path}/runs/{run_id}/events"
    for cursor in ("-1", "x", "1.5", "", " ", "١", str(last + 1), "9" * 40, "0x1", "1e1", "null", "1,2"):
        answer = await talk.api.call("GET", path, params={"after": cursor})
        assert (answer.status, answer.error["code"]) == (400, "INVALID_INPUT"), cursor
        if cursor.strip() and cursor.isascii():
            answer = await talk.api.call("GET", path, headers={"Last-Event-ID": cursor})
            assert (answer.status, answer.error["code"]) == (400, "INVALID_INPUT"), cursor
    for limit in ("0", "1001", "-1", "x"):
        answer = await talk.api.call("GET", path, params={"limit": limit}, headers=ACCEPT_JSON)
        assert (answer.status, answer.error["code"]) == (422, "VALIDATION_ERROR"), limit


async def read_one_by_one(talk: Talk, run_id: str) -> list[Event]:
    """Break off after each event that is news, while the run goes on."""
    seen: list[Event] = []
    while not seen or seen[-1].type != "done":
        async with talk.following(run_id, headers={"Last-Event-ID": str(len(seen))}) as stream:
            await stream.until(lambda event: True)
        seen.append(stream.events[0])
    return seen


async def read_in_bytes(house: House, talk: Talk, run_id: str, chance: random.Random) -> list[Event]:
    """Break off after any number of bytes, again and again; only whole frames count."""
    seen: list[Event] = []
    while not seen or seen[-1].type != "done":
        received = await some_bytes(house, f"{talk.path}/runs/{run_id}/events", len(seen), chance.randint(1, 2500))
        seen += [event for event in Frames().feed(received) if event.id is not None]
    return seen


async def some_bytes(house: House, path: str, after: int, most: int) -> bytes:
    """So many bytes of a stream's body, read from the bare connection, which is then cut."""
    where = urlsplit(house.server.url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    fields = {"Host": where.netloc, "Connection": "close", "X-API-Key": API_KEY, "Last-Event-ID": after}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    writer.write(f"GET {path} HTTP/1.1\r\n{head}\r\n".encode())
    try:
        async with asyncio.timeout(20):
            assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
            body = b""
            while len(body) < most and (chunk := await reader.read(most - len(body))):
                body += chunk
            return unchunked(body)
    finally:
        writer.transport.abort()


def unchunked(body: bytes) -> bytes:
    """What a chunked body, or the beginning of one, carries."""
    carried = b""
    while body:
        size, _, rest = body.partition(b"\r\n")
        length = int(size or b"0", 16) if rest else 0
        if not length:
            break
        carried, body = carried + rest[:length], rest[length + 2 :]
    return carried


async def test_viewers_that_break_off_anywhere_all_see_the_same_as_one_that_stays(house: House, talk: Talk) -> None:
    chance = random.Random(7)
    async with talk.streaming(LONG) as stream, talk.following(stream.run_id) as second, asyncio.timeout(60):
        results = await asyncio.gather(
            stream.rest(),
            second.rest(),
            read_one_by_one(talk, stream.run_id),
            *(read_in_bytes(house, talk, stream.run_id, chance) for _ in range(3)),
        )
    assert all(raw(seen) == raw(stream.events) for seen in results)
    assert status_of(stream.events) == "success"
    for _ in range(10):
        assert raw(await read_in_bytes(house, talk, stream.run_id, chance)) == raw(stream.events)


async def test_a_silent_run_is_told_to_be_alive(talk: Talk) -> None:
    async with talk.streaming(f"@text now\n@wait {PING_SECONDS * 1.5}\n@text then") as stream:
        events = await stream.rest()
    ping = stream.pings[-1]
    assert (ping.data["seq"], list(ping.data)) == (0, ["seq", "timestamp", "elapsed_ms"])
    assert "ping" not in kinds(events)


async def test_the_run_in_the_background_is_followed_like_any(talk: Talk) -> None:
    answer = await talk.api.call("POST", f"{talk.path}/runs", message("@text alone"))
    assert answer.status == 202
    assert answer.body["status"] in {"queued", "running"}
    assert answer.body["run_id"] == answer.headers["X-Run-ID"]
    assert status_of(await talk.events(answer.body["run_id"])) == "success"
    listed = await talk.api.ask("GET", f"{talk.path}/runs")
    assert [run["run_id"] for run in listed["items"]] == [answer.body["run_id"]]
