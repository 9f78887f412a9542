"""The provider's verbs: each may be repeated, and none leaves anything behind."""

import asyncio
from pathlib import Path

import pytest

from app.infrastructure.sandboxes.contract import Mount, SandboxId, SandboxProvider, SandboxSpec, SandboxUnavailable
from tests.sandboxes.boxes import until
from tests.sandboxes.conftest import Make, make_box

ENDURING = """
import os, signal, subprocess, time
if os.fork() == 0:
    os.setsid()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT): signal.signal(number, signal.SIG_IGN)
    if os.fork() == 0:
        while True: time.sleep(1)
    os.kill(os.getpid(), signal.SIGSTOP)
"""


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_a_repeated_create_returns_the_living_sandbox(make: Make, provider: SandboxProvider):
    first = await make(sandbox_id=SandboxId("twice"))
    assert await provider.create(SandboxSpec(SandboxId("twice"), None)) is first.sandbox


async def test_creates_of_one_id_at_once_make_one_sandbox(provider: SandboxProvider):
    made = await asyncio.gather(*(provider.create(SandboxSpec(SandboxId("same"), None)) for _ in range(4)))
    assert len({id(sandbox) for sandbox in made}) == 1
    await provider.destroy(SandboxId("same"))


async def test_attach_and_list_find_the_living_and_only_them(make: Make, provider: SandboxProvider):
    box = await make()
    sandbox_id = box.sandbox.sandbox_id
    assert await provider.attach(sandbox_id) is box.sandbox
    assert box.sandbox in await provider.list()
    await provider.destroy(sandbox_id)
    assert await provider.attach(sandbox_id) is None
    assert box.sandbox not in await provider.list()


async def test_destroying_an_unknown_sandbox_is_no_error(provider: SandboxProvider):
    await provider.destroy(SandboxId("never0made"))


async def test_destroy_ends_everything_inside_and_keeps_the_workspace(make: Make, provider: SandboxProvider):
    box = await make()
    await box.start(ENDURING)
    await box.python("open('/workspace/kept', 'w').write('kept')")
    await provider.destroy(box.sandbox.sandbox_id)
    await provider.destroy(box.sandbox.sandbox_id)
    ended = await box.sandbox.ended()
    assert (ended.reason, ended.code) == ("destroyed", None)
    assert not box.sandbox.control_folder.exists()
    assert not box.sandbox.gateway_folder.exists()
    assert (box.workspace / "kept").read_text() == "kept"


async def test_an_id_can_be_used_again_after_destroy(make: Make, provider: SandboxProvider):
    first = await make(sandbox_id=SandboxId("again"))
    await first.python("open('/tmp/mark', 'w').close()")
    await provider.destroy(SandboxId("again"))
    second = await make(sandbox_id=SandboxId("again"))
    assert second.sandbox is not first.sandbox
    assert await second.python("import os; result = os.listdir('/tmp')") == []


async def test_how_the_runner_left_is_told_to_everyone_who_asks(make: Make):
    box = await make()
    waiting = [asyncio.create_task(box.sandbox.ended()) for _ in range(3)]
    await box.start("import os, sys; print('last words', file=sys.stderr, flush=True); os._exit(3)")
    for exit_ in [*(await asyncio.gather(*waiting)), await box.sandbox.ended()]:
        assert (exit_.reason, exit_.code) == ("exited", 3)
        assert "last words" in exit_.log_tail


async def test_a_runner_killed_by_a_signal_is_reported_as_killed(make: Make):
    box = await make()
    await box.start("import os; os.kill(os.getpid(), 9)")
    exit_ = await box.sandbox.ended()
    assert (exit_.reason, exit_.code) == ("killed", -9)


async def test_what_the_runner_left_running_ends_with_it(make: Make):
    box = await make()
    await box.start(f"{ENDURING}\nos._exit(0)")
    async with asyncio.timeout(10):
        assert (await box.sandbox.ended()).reason == "exited"


async def test_a_sandbox_that_ended_by_itself_leaves_nothing_and_can_be_made_again(
    make: Make, provider: SandboxProvider
):
    box = await make(sandbox_id=SandboxId("phoenix"))
    await box.start("import os; os._exit(0)")
    await box.sandbox.ended()
    assert not box.sandbox.control_folder.exists()
    assert await provider.attach(SandboxId("phoenix")) is None
    assert (await make(sandbox_id=SandboxId("phoenix"))).sandbox is not box.sandbox


async def test_the_end_of_one_waiter_is_not_the_end_of_the_others(make: Make, provider: SandboxProvider):
    box = await make()
    impatient = asyncio.create_task(box.sandbox.ended())
    await asyncio.sleep(0)
    impatient.cancel()
    await asyncio.gather(impatient, return_exceptions=True)
    await provider.destroy(box.sandbox.sandbox_id)
    assert (await box.sandbox.ended()).reason == "destroyed"


@pytest.mark.parametrize("delay", [0, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05])
async def test_a_cancelled_create_leaves_nothing(provider: SandboxProvider, tmp_path: Path, delay: float):
    before = open_descriptors()
    creating = asyncio.create_task(make_box(provider, tmp_path, sandbox_id=SandboxId("unwanted")))
    await asyncio.sleep(delay)
    creating.cancel()
    outcome = (await asyncio.gather(creating, return_exceptions=True))[0]
    if not isinstance(outcome, BaseException):
        await provider.destroy(SandboxId("unwanted"))
    assert await provider.attach(SandboxId("unwanted")) is None
    await until(lambda: open_descriptors() <= before)


async def test_a_create_cancelled_again_and_again_still_leaves_nothing(provider: SandboxProvider):
    creating = asyncio.create_task(provider.create(SandboxSpec(SandboxId("unwanted"), None)))
    for _ in range(20):
        await asyncio.sleep(0.001)
        creating.cancel()
    await asyncio.gather(creating, return_exceptions=True)
    await provider.destroy(SandboxId("unwanted"))
    assert await provider.attach(SandboxId("unwanted")) is None


async def test_a_create_that_fails_says_why_and_leaves_nothing(provider: SandboxProvider, tmp_path: Path):
    before = open_descriptors()
    with pytest.raises(SandboxUnavailable, match="nowhere"):
        await provider.create(SandboxSpec(SandboxId("failing"), tmp_path / "nowhere"))
    with pytest.raises(SandboxUnavailable, match="nothing-here"):
        await provider.create(
            SandboxSpec(SandboxId("failing"), None, mounts=(Mount(tmp_path / "nothing-here", "/opt/x"),))
        )
    assert await provider.attach(SandboxId("failing")) is None
    await until(lambda: open_descriptors() <= before)
    await provider.create(SandboxSpec(SandboxId("failing"), None))
    await provider.destroy(SandboxId("failing"))


@pytest.mark.parametrize("sandbox_id", ["", "../up", "Upper", "a" * 33, "a/b", "a\0"])
async def test_an_id_that_is_no_id_is_refused(provider: SandboxProvider, sandbox_id: str):
    with pytest.raises(ValueError):
        await provider.create(SandboxSpec(SandboxId(sandbox_id), None))


@pytest.mark.parametrize("target", ["relative", "/", "/opt/../etc"])
async def test_a_mount_to_an_odd_place_is_refused(provider: SandboxProvider, tmp_path: Path, target: str):
    with pytest.raises(ValueError):
        await provider.create(SandboxSpec(SandboxId("odd"), None, mounts=(Mount(tmp_path, target),)))


async def test_a_nul_in_the_environment_is_refused(provider: SandboxProvider):
    with pytest.raises(ValueError):
        await provider.create(SandboxSpec(SandboxId("nul"), None, environment={"A": "b\0--bind\0/\0/host"}))
    assert await provider.attach(SandboxId("nul")) is None


@pytest.mark.slow
async def test_many_sandboxes_come_and_go_without_a_trace(provider: SandboxProvider):
    before = open_descriptors()
    for _ in range(3):
        ids = [SandboxId(f"many{number}") for number in range(5)]
        made = await asyncio.gather(*(provider.create(SandboxSpec(sandbox_id, None)) for sandbox_id in ids))
        assert len({sandbox.control_folder for sandbox in made}) == 5
        await asyncio.gather(*(provider.destroy(sandbox_id) for sandbox_id in ids))
    await until(lambda: open_descriptors() <= before)
