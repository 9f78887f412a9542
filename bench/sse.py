"""Events sent per second of the server's processor time: by our stack, and by a raw ASGI sender of the same frames."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from bench import processes
from bench.figures import Figure, rate

CONNECTIONS = 4
EVENTS = 20_000
"""Of one connection and round."""
LEAST = 0.5
PACES = {"a commit an event": 1, "16 events a commit": 16, "replay": 500}


@dataclass(frozen=True, slots=True)
class Sender:
    """A running server and how its processor time is read."""

    url: str
    pid: int
    events: int

    async def rate(self, path: str) -> float:
        """Events per second of its processor time, over several connections at once."""
        before = processes.cpu_seconds(self.pid)
        async with aiohttp.ClientSession(self.url, connector=aiohttp.TCPConnector(limit=0)) as session:
            sizes = await asyncio.gather(*(_drained(session, path) for _ in range(CONNECTIONS)))
        spent = processes.cpu_seconds(self.pid) - before
        if len(set(sizes)) != 1:
            raise RuntimeError(f"connections of different length: {sizes}")
        return CONNECTIONS * self.events / max(spent, 0.01)


async def _drained(session: aiohttp.ClientSession, path: str) -> int:
    async with session.get(path) as answer:
        answer.raise_for_status()
        return sum([len(piece) async for piece in answer.content.iter_any()])


@asynccontextmanager
async def _sender(who: str, folder: Path, events: int) -> AsyncIterator[Sender]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        words = ["-m", "bench.sse_server", who, str(listener.fileno()), str(events)]
        async with processes.child(words, folder, who, pass_fds=(listener.fileno(),)) as process:
            yield Sender(f"http://127.0.0.1:{listener.getsockname()[1]}", process.pid, events)


async def measure(rounds: int, events: int = EVENTS) -> list[Figure]:
    """One figure per pace of the log."""
    ours: dict[str, list[float]] = {pace: [] for pace in PACES}
    floor: dict[str, list[float]] = {pace: [] for pace in PACES}
    with processes.scratch() as folder:
        async with _sender("ours", folder, events) as stack, _sender("raw", folder, events) as raw:
            for number in range(rounds + 1):
                for pace, size in PACES.items():
                    measured = await stack.rate(f"/bench/{size}"), await raw.rate(f"/bench/{size}")
                    if number:
                        ours[pace].append(measured[0])
                        floor[pace].append(measured[1])
    return [rate(f"sent per CPU second, {pace}", ours[pace], floor[pace], "events", least=LEAST) for pace in PACES]
