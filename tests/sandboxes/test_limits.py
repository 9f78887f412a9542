"""What a sandbox may use at most, tried from inside."""

import asyncio
import errno
import time

import pytest

from app.infrastructure.sandboxes.contract import MEBIBYTE, Limits
from tests.sandboxes.boxes import Box
from tests.sandboxes.conftest import Make

FILL = """
import os
result = 0
try:
    with open('{}/filler', 'wb') as file:
        for _ in range(16): file.write(bytes(1 << 20)); file.flush()
except OSError as error:
    result = error.errno
"""
FORK = """
import os, time
children, number = [], 0
try:
    while len(children) < 500:
        child = os.fork()
        if child == 0: time.sleep(60); os._exit(0)
        children.append(child)
except OSError as error:
    number = error.errno
for child in children: os.kill(child, 9); os.waitpid(child, 0)
result = [len(children), number]
"""


def skip_if_unenforced(box: Box, limit: str) -> None:
    if said := [text for text in box.sandbox.unenforced if text.startswith(limit)]:
        pytest.skip(said[0])


@pytest.mark.parametrize("folder", ["/tmp", "/home/agent", "/dev/shm", "/workspace"])
async def test_a_temporary_folder_is_full_at_its_size(make: Make, folder: str):
    box = await make(workspace=None, limits=Limits(tmpfs_bytes=4 * MEBIBYTE))
    assert await box.python(FILL.format(folder)) == errno.ENOSPC


async def test_a_file_ends_at_its_size(make: Make):
    box = await make(limits=Limits(file_bytes=4 * MEBIBYTE))
    assert await box.python(FILL.format("/workspace")) == errno.EFBIG


async def test_open_files_are_counted(make: Make):
    box = await make(limits=Limits(open_files=64))
    assert await box.refused("[open('/dev/null') for _ in range(100)]") == errno.EMFILE


async def test_limits_cannot_be_raised_inside(make: Make):
    box = await make()
    done = await box.command("sh", "-c", "ulimit -n 100000 || ulimit -u 100000 || ulimit -c 1")
    assert done.code != 0


async def test_a_fork_bomb_ends_at_the_limit_and_the_sandbox_goes_on(make: Make):
    box = await make(limits=Limits(pids=40))
    forked, number = await box.python(FORK)
    assert number == errno.EAGAIN
    assert 10 <= forked <= 40
    assert (await box.command("echo", "alive")).out == "alive\n"


async def test_one_sandboxs_processes_do_not_count_for_another(make: Make):
    first, second = await make(limits=Limits(pids=40)), await make(limits=Limits(pids=40))
    await first.start("import subprocess\nkept = [subprocess.Popen(['sleep', '60']) for _ in range(30)]")
    assert (await second.python(FORK))[0] >= 10


async def test_a_runner_that_takes_too_much_memory_ends_as_out_of_memory(make: Make):
    box = await make(limits=Limits(memory_bytes=64 * MEBIBYTE))
    skip_if_unenforced(box, "memory")
    await box.start("hoard = [bytearray(1 << 20) for _ in range(500)]")
    async with asyncio.timeout(20):
        exit_ = await box.sandbox.ended()
    assert (exit_.reason, exit_.code) == ("oom", -9)


async def test_a_tool_that_takes_too_much_memory_ends_alone(make: Make):
    box = await make(limits=Limits(memory_bytes=64 * MEBIBYTE))
    skip_if_unenforced(box, "memory")
    assert (await box.script("hoard = [bytearray(1 << 20) for _ in range(500)]")).code == -9
    assert (await box.command("echo", "alive")).out == "alive\n"


async def test_temporary_files_count_as_memory(make: Make):
    box = await make(limits=Limits(memory_bytes=64 * MEBIBYTE, tmpfs_bytes=512 * MEBIBYTE, file_bytes=512 * MEBIBYTE))
    skip_if_unenforced(box, "memory")
    await box.start("with open('/tmp/filler', 'wb') as file:\n    for _ in range(200): file.write(bytes(1 << 20))")
    async with asyncio.timeout(20):
        assert (await box.sandbox.ended()).reason == "oom"


@pytest.mark.slow
async def test_processor_time_is_shared_out(make: Make):
    box = await make(limits=Limits(cpus=0.25))
    skip_if_unenforced(box, "cpu")
    used = await box.python(
        "import time\nbegan, used = time.monotonic(), time.process_time()\n"
        "while time.monotonic() < began + 1: pass\n"
        "result = (time.process_time() - used) / (time.monotonic() - began)"
    )
    assert used < 0.5


async def test_a_flood_of_output_neither_stops_the_sandbox_nor_fills_the_log(make: Make):
    box = await make()
    began = time.monotonic()
    await box.start("import os\nfor _ in range(40): os.write(2, b'x' * 65536)\nos.write(2, b'the end'); os._exit(0)")
    async with asyncio.timeout(20):
        exit_ = await box.sandbox.ended()
    assert exit_.reason == "exited", time.monotonic() - began
    assert exit_.log_tail.endswith("the end")
    assert len(exit_.log_tail) <= 8192
