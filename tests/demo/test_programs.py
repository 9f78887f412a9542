"""Programs that the demonstration starts."""

import asyncio
import os
import sys
import time
from pathlib import Path

from demo.programs import running

STUBBORN = "import signal, sys, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
PARENT = """
import asyncio, sys
from demo.programs import running

async def main():
    with open('/dev/null', 'wb') as log:
        async with running((sys.executable, '-c', 'import time; print(1, flush=True); time.sleep(60)'), {}, log, 5,
                           listen=True) as child:
            await child.stdout.readline()
            print(child.pid, flush=True)
            await child.wait()

asyncio.run(main())
"""


async def until_gone(pid: int) -> None:
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


async def test_a_program_that_does_not_end_when_told_is_killed(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        async with running((sys.executable, "-c", STUBBORN), {}, log, 0.1, listen=True) as process:
            assert process.stdout
            assert await process.stdout.readline() == b"up\n"
    assert process.returncode == -9


async def test_what_it_writes_goes_to_the_log(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as log:
        async with running(
            (sys.executable, "-c", "import os; print(os.environ['WORD'])"), {"WORD": "hi"}, log, 1
        ) as one:
            await one.wait()
    assert (tmp_path / "log").read_text() == "hi\n"


async def test_no_program_outlives_a_killed_parent() -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, stdout=asyncio.subprocess.PIPE, env={**os.environ, "PYTHONPATH": "."}
    )
    assert parent.stdout
    child = int(await parent.stdout.readline())
    parent.kill()
    await parent.wait()
    await until_gone(child)
