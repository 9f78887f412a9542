"""The control socket, with a made-up agent behind it."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from runner.outbox import Outbox
from runner.protocol import (
    MAX_LINE,
    Ack,
    Attach,
    Command,
    Frame,
    Hello,
    Interrupt,
    Prompt,
    StoreReply,
    Text,
    frames,
)
from runner.server import Server
from tests.runner.client import Backend, Transcripts, connected


class Served:
    """A server and everything it was told."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.outbox = Outbox()
        self.commands: list[Command] = []
        self._news = asyncio.Event()
        self.server = Server(self.outbox, self._hello, self._take, self._take)

    def _take(self, command: Command) -> None:
        self.commands.append(command)
        self._news.set()

    async def heard(self, number: int) -> None:
        """Wait for that many commands."""
        async with asyncio.timeout(10):
            while len(self.commands) < number:
                self._news.clear()
                await self._news.wait()

    def _hello(self) -> Hello:
        return Hello(
            runner_version="r", sdk_version="s", pid=os.getpid(), open=True, turn=False, last_seq=self.outbox.last_seq
        )

    def put(self, *words: str) -> None:
        for word in words:
            self.outbox.put(partial(Text, text=word))


@pytest.fixture
async def served(folder: Path) -> AsyncIterator[Served]:
    served = Served(folder)
    await served.server.listen(folder / "control.sock")
    yield served
    await served.server.close()


def texts(found: list[Frame]) -> list[str]:
    return [frame.text for frame in found if isinstance(frame, Text)]


async def test_the_runner_says_hello_first(served: Served) -> None:
    served.put("a")
    async with connected(served.folder) as backend:
        hello = await backend.attach()

        assert (hello.last_seq, hello.open, hello.turn, hello.version) == (1, True, False, 1)
        await backend.wait(lambda: len(backend.frames) == 1)


async def test_frames_come_in_order_at_once_and_again_until_acknowledged(served: Served) -> None:
    async with connected(served.folder) as backend:
        backend.acknowledging = False
        await backend.attach()
        served.put("a", "b")
        await backend.wait(lambda: texts(backend.frames) == ["a", "b"])
        backend.send(Ack(seq=1))
    served.put("c")

    async with connected(served.folder) as again:
        await again.attach()
        await again.wait(lambda: texts(again.frames) == ["b", "c"])
        assert [frame.seq for frame in again.frames] == [2, 3]


async def test_an_attach_says_what_is_recorded_already(served: Served) -> None:
    served.put("a", "b", "c")
    async with connected(served.folder) as backend:
        await backend.attach(after=2)
        await backend.wait(lambda: texts(backend.frames) == ["c"])

    assert served.outbox.line(1) is None


@pytest.mark.slow
async def test_a_cut_after_every_frame_loses_and_repeats_nothing(served: Served) -> None:
    words = [str(number) for number in range(200)]
    served.put(*words)
    got: list[Frame] = []
    for _ in range(200):
        async with connected(served.folder) as backend:
            backend.acknowledging = False
            await backend.attach(after=got[-1].seq if got else 0)
            await backend.wait(lambda: bool(backend.frames))
            got.append(backend.frames[0])

    assert texts(got) == words
    assert [frame.seq for frame in got] == list(range(1, 201))


async def test_a_newer_connection_replaces_the_older(served: Served) -> None:
    async with connected(served.folder) as older, connected(served.folder) as newer:
        await older.attach()
        await newer.attach()
        await asyncio.wait_for(older.lost.wait(), 5)
        served.put("a")
        await newer.wait(lambda: texts(newer.frames) == ["a"])

        assert older.frames == []


async def test_a_connection_without_attach_replaces_nobody(served: Served) -> None:
    async with connected(served.folder) as backend, connected(served.folder):
        await backend.attach()
        served.put("a")
        await backend.wait(lambda: texts(backend.frames) == ["a"])


async def test_commands_reach_whom_they_concern(served: Served) -> None:
    commands = [Prompt(text="hi"), Interrupt(), StoreReply(request=1)]
    async with connected(served.folder) as backend:
        await backend.attach()
        for command in commands:
            backend.send(command)
        await served.heard(3)

    assert served.commands == commands


async def test_commands_may_come_in_pieces_and_many_at_once(served: Served) -> None:
    line = Prompt(text="é" * 50).model_dump_json().encode() + b"\n"
    async with connected(served.folder) as backend:
        await backend.attach()
        for byte in line:
            backend.send_raw(bytes([byte]))
            await asyncio.sleep(0)
        backend.send_raw(line * 100 + line[:7])
        await served.heard(101)

    assert len(served.commands) == 101


@pytest.mark.parametrize(
    "line",
    [
        b"nonsense\n",
        b"\n",
        b'{"type":"prompt"}\n',
        b'{"type":"ack","seq":"x"}\n',
        b"\xff\xfe\n",
        Attach().model_dump_json().encode() + b"\n",
        b"x" * (MAX_LINE + 2),
        b'{"type":"prompt","text":"' + b"x" * MAX_LINE + b'"}\n',
    ],
    ids=["no json", "empty", "no text", "no number", "no utf-8", "second attach", "endless line", "long line"],
)
async def test_a_malformed_line_ends_its_connection_alone(served: Served, line: bytes) -> None:
    async with connected(served.folder) as backend:
        await backend.attach()
        backend.send_raw(line)
        await asyncio.wait_for(backend.lost.wait(), 20)

    assert served.commands == []
    served.put("a")
    async with connected(served.folder) as again:
        await again.attach()
        await again.wait(lambda: texts(again.frames) == ["a"])


async def test_a_connection_that_does_not_attach_first_is_closed(served: Served) -> None:
    reader, writer = await asyncio.open_unix_connection(str(served.folder / "control.sock"))
    writer.write(Prompt(text="x").model_dump_json().encode() + b"\n")

    assert await asyncio.wait_for(reader.read(), 5) == b""
    assert served.commands == []
    writer.close()
    await writer.wait_closed()


async def test_another_version_is_told_ours_and_closed(served: Served) -> None:
    reader, writer = await asyncio.open_unix_connection(str(served.folder / "control.sock"))
    writer.write(Attach(version=99).model_dump_json().encode() + b"\n")

    answer = await asyncio.wait_for(reader.read(), 5)
    assert isinstance(frames.validate_json(answer), Hello)
    writer.close()
    await writer.wait_closed()


async def test_a_backend_that_does_not_read_gets_everything_when_it_does(served: Served) -> None:
    reader, writer = await asyncio.open_unix_connection(str(served.folder / "control.sock"), limit=MAX_LINE)
    backend = Backend(reader, writer, Transcripts())
    await backend.attach()
    backend._reading.cancel()  # type: ignore[union-attr]
    served.put(*("x" * 100_000 for _ in range(100)))
    assert served.outbox.full is False

    backend._reading = asyncio.create_task(backend._read())
    await backend.wait(lambda: len(backend.frames) == 100)
    await backend.close()


async def test_a_process_of_the_agents_own_cannot_pass_for_the_backend(served: Served) -> None:
    """Its tools see the runner's socket; here a child of this process, which stands for the runner, tries."""
    program = """
import socket, sys
attempt = socket.socket(socket.AF_UNIX)
attempt.connect(sys.argv[1])
attempt.settimeout(10)
try:
    attempt.sendall(b'{"type":"attach"}\\n')
    print(len(attempt.recv(100)))
except ConnectionError:
    print(0)
"""
    tried = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, str(served.folder / "control.sock"), stdout=asyncio.subprocess.PIPE
    )
    told, _ = await tried.communicate()

    assert told.strip() == b"0"


async def test_a_dead_sockets_file_does_not_stop_the_next_runner(served: Served) -> None:
    other = Served(served.folder)
    await other.server.listen(served.folder / "control.sock")
    async with connected(served.folder) as backend:
        await backend.attach()
    await other.server.close()
