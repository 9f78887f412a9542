"""The whole demonstration, as a person starts it."""

import asyncio
import os
import re
import shutil
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

import aiohttp
import psutil
import pytest

from tests.demo.test_readme import BLOCK, ENGLISH, text

ROOT = Path(__file__).parent.parent.parent
PATIENCE = 100.0

pytestmark = [pytest.mark.needs_cli, pytest.mark.needs_bubblewrap, pytest.mark.slow, pytest.mark.timeout(300)]

Demo = asyncio.subprocess.Process


def environment(folder: Path) -> dict[str, str]:
    """What the demonstration needs, and nothing of this machine's settings and AWS credentials."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    nowhere = {name: str(folder / "none") for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE")}
    return kept | nowhere | {"PYTHONPATH": str(ROOT), "DATA_DIR": str(folder / "data")}


async def start(folder: Path, *arguments: str, **more: str) -> Demo:
    """In an empty folder, so that no `.env` is read."""
    (folder / "empty").mkdir(exist_ok=True)
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "demo", *arguments),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=folder / "empty",
        env=environment(folder) | more,
    )


async def ended(demo: Demo) -> tuple[int | None, str]:
    assert demo.stdout
    output = await asyncio.wait_for(demo.stdout.read(), PATIENCE)
    return await demo.wait(), output.decode()


async def read_until(demo: Demo, expression: str) -> str:
    assert demo.stdout
    read = ""
    async with asyncio.timeout(PATIENCE):
        while not re.search(expression, read):
            line = await demo.stdout.readline()
            assert line, read
            read += line.decode()
    return read


def family(demo: Demo) -> list[psutil.Process]:
    return psutil.Process(demo.pid).children(recursive=True)


def living(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [one for one in processes if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


async def all_gone(processes: list[psutil.Process]) -> None:
    deadline = time.monotonic() + 30
    while True:
        with suppress(psutil.NoSuchProcess):
            if not living(processes):
                return
        assert time.monotonic() < deadline, processes
        await asyncio.sleep(0.05)


@pytest.fixture(scope="module")
async def folder(service_folder: Path) -> Path:
    """One data folder for the whole module, as the same checkout has it; below the checkout, not in a closed /tmp."""
    made = service_folder / "demo"
    made.mkdir()
    return made


async def test_shows_an_agent_at_work_its_memory_and_what_it_cost(folder: Path) -> None:
    code, output = await ended(await start(folder, "--once"))
    assert code == 0, output
    assert output.startswith("Answers come from the scripted stand-in, not from a language model: no AWS credentials")
    assert re.search(r"Server ready after \d+\.\d s: http://127\.0\.0\.1:\d+\n", output)
    assert "tool      Write  /workspace/primes.py\n" in output
    assert "tool      Bash  $ python3 primes.py\n          → 2 3 5 7 11 13 17" in output
    assert "The largest of these primes is 71." in output
    assert "the largest prime that the program printed was 71" in output
    assert len(re.findall(r"time +sandbox ready \S+ s · first text \S+ s · done \S+ s\n", output)) == 2
    cost = re.search(r"together .* (\d+\.\d{6})\n$", output)
    assert cost
    assert float(cost[1]) > 0


async def test_runs_again_on_the_same_data_and_serves_on_until_it_is_told_to_end(folder: Path) -> None:
    demo = await start(folder)
    said = await read_until(demo, r"curl .*\n")
    await check_the_address(said)
    await check_the_readme(said)
    await check_a_second_demonstration(folder)
    children = family(demo)
    demo.send_signal(signal.SIGINT)
    code, output = await ended(demo)
    assert (code, output) == (0, "Ended.\n")
    assert not living(children)


async def check_the_address(said: str) -> None:
    key, tried = re.search(r"key +(\S+) ", said), re.search(r"curl -H 'X-API-Key: \S+' (\S+)", said)
    assert key
    assert tried
    async with aiohttp.ClientSession(headers={"X-API-Key": key[1]}) as client, client.get(tried[1]) as answer:
        assert answer.status == 200
        assert len(await answer.json()) == 4


async def check_the_readme(said: str) -> None:
    """Its basic flow works as it is copied; a machine without curl cannot tell."""
    if not shutil.which("curl"):
        return
    (flow,) = (block for block in BLOCK.findall(text(ENGLISH)) if block.startswith("api="))
    url, key = re.search(r"(http://\S+)/docs", said), re.search(r"key +(\S+) ", said)
    assert url
    assert key
    script = flow.replace("http://127.0.0.1:8000", url[1]).replace("change-me-to-16-or-more", key[1])
    shell = await asyncio.create_subprocess_exec("bash", "-euc", script, stdout=asyncio.subprocess.PIPE)
    output, _ = await asyncio.wait_for(shell.communicate(), PATIENCE)
    assert shell.returncode == 0
    first, replayed = re.findall(r"(?s)event: \w+.*?event: done\n[^\n]+", output.decode())
    assert '"status":"success"' in first
    assert "id: 10\n" in first
    assert "id: 10\n" not in replayed
    assert replayed.splitlines()[-1] == first.splitlines()[-1]


async def check_a_second_demonstration(folder: Path) -> None:
    code, output = await ended(await start(folder, "--once"))
    assert code == 1
    assert re.search(r"The demo failed: The data folder cannot be used: .* is in use by process \d+; end it", output)
    assert "last lines" not in output


async def test_leaves_nothing_behind_when_it_is_killed(folder: Path) -> None:
    demo = await start(folder)
    await read_until(demo, r"(?m)^tool ")
    children = family(demo)
    assert any("bwrap" in child.name() for child in children)
    demo.kill()
    await demo.wait()
    await all_gone(children)


async def test_says_that_the_port_asked_for_is_taken(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        code, output = await ended(await start(folder, "--once", APP_PORT=str(port)))
    assert code == 1
    assert f"The demo failed: Port {port} (APP_PORT) is taken." in output


async def test_shows_the_end_of_the_log_when_the_server_does_not_start(folder: Path) -> None:
    unreachable = "postgresql://nobody@127.0.0.1:9/nothing"
    code, output = await ended(await start(folder, "--once", DATABASE_URL=unreachable))
    assert code == 1
    assert "The demo failed: The server did not start." in output
    assert "demo-server.log:\n" in output


async def test_an_interruption_in_the_middle_is_no_success(folder: Path) -> None:
    demo = await start(folder, "--once")
    await read_until(demo, r"Server ready")
    children = family(demo)
    demo.send_signal(signal.SIGTERM)
    code, output = await ended(demo)
    assert code == 128 + signal.SIGTERM
    assert "Interrupted." in output
    assert not living(children)
