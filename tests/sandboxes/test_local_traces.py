"""The local provider: what it leaves on the machine, and what happens when its process dies."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from app.infrastructure.sandboxes.contract import SandboxId, SandboxSpec, SandboxUnavailable
from app.infrastructure.sandboxes.local import open_local
from app.infrastructure.sandboxes.local.cgroups import find_controllers
from tests.sandboxes.boxes import ROOT, Box, local_config, until
from tests.sandboxes.test_verbs import ENDURING

pytestmark = pytest.mark.needs_bubblewrap

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives each sandbox a uid")

BACKEND = """
import asyncio, sys
from pathlib import Path
from app.infrastructure.sandboxes.contract import SandboxId, SandboxSpec
from app.infrastructure.sandboxes.local import open_local
from tests.sandboxes.boxes import Box, local_config
from tests.sandboxes.test_verbs import ENDURING

async def main(state, owner):
    async with open_local(local_config(Path(state), owner)) as provider:
        for number in range(2):
            sandbox = await provider.create(SandboxSpec(SandboxId(f"orphan{number}"), None))
            await Box(sandbox, None).start(ENDURING)
        print("up", flush=True)
        await asyncio.Event().wait()

asyncio.run(main(*sys.argv[1:]))
"""


@asynccontextmanager
async def other_backend(state: Path, owner: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Another process of the product with two living sandboxes."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", BACKEND, str(state), owner, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(30):
            assert (await process.stdout.readline()) == b"up\n"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
        async with open_local(local_config(state, "sweeper")):
            pass  # what a killed backend leaves is swept by the next


def groups(owner: str) -> list[Path]:
    parents = {controller.parent for controller in find_controllers().values()}
    return [group for parent in parents for group in parent.glob(f"sandbox-{owner}-*")]


def programs_below(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def alive(programs: list[psutil.Process]) -> list[psutil.Process]:
    return [program for program in programs if lives(program)]


def lives(program: psutil.Process) -> bool:
    """A zombie only waits for its adoptive parent's attention."""
    try:
        return program.is_running() and program.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def test_a_destroyed_sandbox_leaves_no_process_group_mount_or_folder(tmp_path: Path):
    async with open_local(local_config(tmp_path, "traces")) as provider:
        mounts, before = Path("/proc/self/mountinfo").read_text(), programs_below(os.getpid())
        sandbox = await provider.create(SandboxSpec(SandboxId("one"), None))
        await Box(sandbox, None).start(ENDURING)
        programs = [program for program in programs_below(os.getpid()) if program not in before]
        assert len([program for program in programs if program.name() == "bwrap"]) >= 2
        await provider.destroy(SandboxId("one"))
        assert alive(programs) == []
        assert groups("traces") == []
        assert Path("/proc/self/mountinfo").read_text() == mounts
        assert list((tmp_path / "traces" / "boxes").iterdir()) == []
    assert list(tmp_path.iterdir()) == []


@AS_ROOT
async def test_a_uid_is_free_again_after_destroy(tmp_path: Path):
    async with open_local(local_config(tmp_path, "uids", uids=range(31_000, 31_002))) as provider:
        for _ in range(3):
            made = [await provider.create(SandboxSpec(SandboxId(name), None)) for name in ("a", "b")]
            assert {sandbox.peer_uid for sandbox in made} == {31_000, 31_001}
            with pytest.raises(SandboxUnavailable, match="Every uid"):
                await provider.create(SandboxSpec(SandboxId("c"), None))
            for name in ("a", "b"):
                await provider.destroy(SandboxId(name))


@AS_ROOT
async def test_a_uid_another_copy_of_the_product_uses_is_left_alone(tmp_path: Path):
    with socket.socket(socket.AF_UNIX) as others:
        others.bind("\0claude-agent-backend-uid-31000")
        async with open_local(local_config(tmp_path, "uids", uids=range(31_000, 31_002))) as provider:
            assert (await provider.create(SandboxSpec(SandboxId("a"), None))).peer_uid == 31_001


@AS_ROOT
async def test_the_workspace_becomes_the_agents_without_following_links(tmp_path: Path):
    outside, workspace = tmp_path / "outside", tmp_path / "workspace"
    (workspace / "folder").mkdir(parents=True)
    outside.write_text("mine")
    (workspace / "folder" / "link").symlink_to(outside)
    (workspace / "folder" / "file").write_text("")
    async with open_local(local_config(tmp_path / "state")) as provider:
        sandbox = await provider.create(SandboxSpec(SandboxId("a"), workspace))
        owners = {path.lstat().st_uid for path in (workspace, *workspace.rglob("*"))}
        assert owners == {sandbox.peer_uid}
        assert outside.stat().st_uid == 0
        await provider.destroy(SandboxId("a"))


async def test_closing_ends_every_sandbox_and_refuses_new_ones(tmp_path: Path):
    async with open_local(local_config(tmp_path)) as provider:
        made = [await provider.create(SandboxSpec(SandboxId(f"box{n}"), None)) for n in range(3)]
        starting = asyncio.create_task(provider.create(SandboxSpec(SandboxId("late"), None)))
        await asyncio.sleep(0)
    assert [(await sandbox.ended()).reason for sandbox in made] == ["destroyed"] * 3
    await asyncio.gather(starting, return_exceptions=True)
    with pytest.raises(SandboxUnavailable, match="closed"):
        await provider.create(SandboxSpec(SandboxId("after"), None))
    assert list(tmp_path.iterdir()) == []


async def test_everything_inside_dies_with_a_killed_backend_and_the_next_one_sweeps(tmp_path: Path):
    async with other_backend(tmp_path, "mortal") as backend:
        programs = programs_below(backend.pid)
        assert len(programs) >= 8
        backend.send_signal(signal.SIGKILL)
        await backend.wait()
        await until(lambda: not alive(programs))
        assert len(list((tmp_path / "mortal" / "boxes").iterdir())) == 2
        async with open_local(local_config(tmp_path, "mortal")) as provider:
            assert await provider.list() == ()
            assert await provider.attach(SandboxId("orphan0")) is None
            assert groups("mortal") == []
            assert list((tmp_path / "mortal" / "boxes").iterdir()) == []


@pytest.mark.slow
async def test_a_dead_owners_leftovers_are_swept_by_another_owner(tmp_path: Path):
    async with other_backend(tmp_path, "dead") as backend:
        backend.send_signal(signal.SIGKILL)
        await backend.wait()
        async with open_local(local_config(tmp_path, "living")):
            assert sorted(path.name for path in tmp_path.iterdir()) == ["living", "living.lock"]
            assert groups("dead") == []


async def test_two_living_owners_do_not_touch_each_other(tmp_path: Path):
    async with other_backend(tmp_path, "other"):
        async with open_local(local_config(tmp_path, "own")) as provider:
            sandbox = await provider.create(SandboxSpec(SandboxId("orphan0"), None))
            assert await Box(sandbox, None).python("result = 1") == 1
            assert len(await provider.list()) == 1
        assert len(list((tmp_path / "other" / "boxes").iterdir())) == 2


@pytest.mark.slow
async def test_two_copies_with_the_same_names_do_not_meet(tmp_path: Path):
    async with other_backend(tmp_path / "first", "same"):
        theirs = groups("same")
        async with open_local(local_config(tmp_path / "second", "same")) as provider:
            sandbox = await provider.create(SandboxSpec(SandboxId("orphan0"), None))
            assert await Box(sandbox, None).python("result = 1") == 1
            assert len(groups("same")) >= len(theirs)
        assert groups("same") == theirs
        assert len(list((tmp_path / "first" / "same" / "boxes").iterdir())) == 2


@pytest.mark.slow
async def test_one_owners_name_cannot_be_used_by_two_living_processes(tmp_path: Path):
    async with other_backend(tmp_path, "taken"):
        with pytest.raises(SandboxUnavailable, match="taken"):
            async with open_local(local_config(tmp_path, "taken")):
                pass


@pytest.mark.parametrize("owner", ["", "..", "a/b", ".hidden", "a" * 65])
async def test_an_owners_name_that_is_no_name_is_refused(tmp_path: Path, owner: str):
    with pytest.raises(ValueError):
        async with open_local(local_config(tmp_path, owner)):
            pass


@pytest.mark.slow
async def test_a_hostile_control_folder_is_removed_all_the_same(tmp_path: Path):
    async with open_local(local_config(tmp_path / "state")) as provider:
        sandbox = await provider.create(SandboxSpec(SandboxId("a"), None))
        await Box(sandbox, None).python(
            "import os\nos.chdir('/run/control')\n"
            "for _ in range(1500): os.mkdir('d'); os.chdir('d')\n"
            "os.symlink('/', 'link'); os.mkdir('locked', 0)\n"
            "os.chdir('/workspace')"
        )
        await provider.destroy(SandboxId("a"))
        assert not sandbox.control_folder.exists()


async def test_a_killed_monitor_takes_the_sandbox_with_it(tmp_path: Path):
    async with open_local(local_config(tmp_path)) as provider:
        before = {program.pid for program in psutil.Process().children()}
        sandbox = await provider.create(SandboxSpec(SandboxId("a"), None))
        (monitor,) = (program for program in psutil.Process().children() if program.pid not in before)
        programs = monitor.children(recursive=True)
        monitor.kill()
        async with asyncio.timeout(10):
            assert (await sandbox.ended()).reason == "killed"
        assert alive(programs) == []
