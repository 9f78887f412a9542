"""Runs that are stopped, lost, killed or left behind."""

import asyncio
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import select, text, update

from app.database import Database
from app.errors import Conflict, NotFound, ServiceUnavailable
from app.models import Conversation, Message, Run
from runner import protocol
from tests.execution.conftest import ACME, Engine, data, kinds, replica, until
from tests.execution.scripted import Speaker


async def begin_and_wait(speaker: Speaker) -> None:
    """Say something, start a tool, and wait for an interrupt."""
    await speaker.say(protocol.TextDelta, text="So far")
    await speaker.say(protocol.ToolUse, tool_use_id="t1", name="Bash", input={"command": "sleep 60"})
    await speaker.interrupted.wait()
    await speaker.end("interrupted")


async def begin_and_die(speaker: Speaker) -> None:
    await speaker.say(protocol.TextDelta, text="So far")
    await speaker.say(protocol.ToolUse, tool_use_id="t1", name="Bash", input={"command": "crash"})
    speaker.die()


async def never_end(speaker: Speaker) -> None:
    await speaker.say(protocol.TextDelta, text="So far")
    await asyncio.Event().wait()


async def status_of(engine: Engine, run_id: UUID) -> tuple[str, str | None]:
    async with engine.database.tenant_read(ACME) as session:
        run = (await session.scalars(select(Run).where(Run.run_id == run_id))).one()
        return run.status, run.error_type


async def said(engine: Engine, run_id: UUID) -> str:
    async with engine.database.tenant_read(ACME) as session:
        wanted = select(Message.content).where(Message.run_id == run_id, Message.message_type == "assistant")
        content = await session.scalar(wanted)
    assert content is not None
    return content["text"]


async def test_cancelling_ends_the_run_and_a_second_time_is_a_conflict(engine: Engine) -> None:
    engine.provider.scripts["work"] = begin_and_wait
    conversation_id = await engine.conversation()
    begun = await engine.start(conversation_id, "work")
    await engine.until_seen(begun.run_id, "tool_call")
    await engine.execution.cancel(ACME, begun.run_id)
    with pytest.raises(Conflict):
        await engine.execution.cancel(ACME, begun.run_id)
    events = await engine.events(begun.run_id)
    assert data(events[-1])["status"] == "cancelled"
    assert await status_of(engine, begun.run_id) == ("cancelled", None)
    assert await said(engine, begun.run_id) == "So far"
    with pytest.raises(Conflict):
        await engine.execution.cancel(ACME, begun.run_id)
    assert data((await engine.run(conversation_id))[-1])["status"] == "success"
    assert len(engine.provider.made) == 1


async def test_an_unknown_run_cannot_be_cancelled(engine: Engine) -> None:
    with pytest.raises(NotFound):
        await engine.execution.cancel(ACME, UUID(int=1))


async def test_a_dead_sandbox_is_told_and_what_was_said_is_kept(engine: Engine) -> None:
    engine.provider.scripts["die"] = begin_and_die
    conversation_id = await engine.conversation()
    begun = await engine.start(conversation_id, "die")
    events = await engine.events(begun.run_id)
    assert kinds(events)[-5:] == ["progress", "tool_result", "title", "error", "done"]
    assert "unknown" in str(data(events[-4])["content"])
    assert data(events[-2])["error_type"] == "sandbox_crashed"
    assert await said(engine, begun.run_id) == "So far"
    assert data((await engine.run(conversation_id))[-1])["status"] == "success"
    assert len(engine.provider.made) == 2


async def test_a_sandbox_out_of_memory_is_told_as_that(engine: Engine) -> None:
    async def swell(speaker: Speaker) -> None:
        speaker.die("oom")

    engine.provider.scripts["swell"] = swell
    events = await engine.run(await engine.conversation(), "swell")
    assert data(events[-2])["error_type"] == "sandbox_oom"


async def test_a_dead_agent_in_a_living_sandbox_is_told_as_a_crash(engine: Engine) -> None:
    async def fail(speaker: Speaker) -> None:
        await speaker.say(protocol.Failed, kind="died", message="exit 137")

    engine.provider.scripts["fail"] = fail
    begun = await engine.start(await engine.conversation(), "fail")
    events = await engine.events(begun.run_id)
    assert data(events[-2])["error_type"] == "sandbox_crashed"
    assert await status_of(engine, begun.run_id) == ("failed", "sandbox_crashed")


async def test_without_a_sandbox_the_run_fails_and_the_next_one_works(engine: Engine) -> None:
    engine.provider.broken = True
    conversation_id = await engine.conversation()
    assert kinds(await engine.run(conversation_id)) == ["progress", "error", "done"]
    with pytest.raises(ServiceUnavailable):
        await engine.sandboxes.check()
    engine.provider.broken = False
    assert data((await engine.run(conversation_id))[-1])["status"] == "success"
    await engine.sandboxes.check()


async def test_a_run_that_takes_too_long_is_ended(database: Database, engine: Engine, tmp_path: Path) -> None:
    async with replica(database, tmp_path / "hasty", run_timeout=0.3) as hasty:
        hasty.provider.scripts["work"] = begin_and_wait
        begun = await hasty.start(await hasty.conversation(), "work")
        events = await hasty.events(begun.run_id)
        assert data(events[-2])["error_type"] == "timeout_error"
        assert await status_of(hasty, begun.run_id) == ("failed", "timeout_error")


async def test_draining_ends_live_runs_as_interrupted_and_begins_no_more(engine: Engine) -> None:
    engine.provider.scripts["work"] = begin_and_wait
    conversation_id = await engine.conversation()
    begun = await engine.start(conversation_id, "work")
    await engine.until_seen(begun.run_id, "tool_call")
    await engine.execution.drain()
    assert await status_of(engine, begun.run_id) == ("interrupted", "interrupted")
    assert kinds(await engine.events(begun.run_id))[-2:] == ["error", "done"]
    with pytest.raises(ServiceUnavailable):
        await engine.start(conversation_id)


async def test_a_left_run_is_ended_by_another_replica_and_stays_readable(
    database: Database, engine: Engine, tmp_path: Path
) -> None:
    async with replica(database, tmp_path / "silent", lease_renewal_seconds=60) as silent:
        silent.provider.scripts["work"] = never_end
        begun = await silent.start(await silent.conversation(), "work")
        await silent.until_seen(begun.run_id, "text_delta")
        seen = await silent.execution.page(ACME, begun.run_id, 0, 100)
        async with database.tenant(ACME) as session:
            await session.execute(update(Run).values(lease_until=text("clock_timestamp() - interval '1 second'")))
        await engine.leases.sweep()
        events = await engine.events(begun.run_id)
    assert events[: len(seen)] == seen
    assert kinds(events)[-2:] == ["error", "done"]
    assert await status_of(engine, begun.run_id) == ("interrupted", "interrupted")
    assert await said(engine, begun.run_id) == "So far"


async def test_a_stale_owner_writes_nothing_more(engine: Engine) -> None:
    release = asyncio.Event()

    async def go_on(speaker: Speaker) -> None:
        await speaker.say(protocol.TextDelta, text="mine")
        await release.wait()
        key = protocol.SessionKey(project_key="p", session_id="s")
        await speaker.say(protocol.StoreAppend, request=1, key=key, entries=[{"type": "user"}])
        await speaker.text("not mine any more")
        await speaker.end(result="x")

    engine.provider.scripts["go on"] = go_on
    begun = await engine.start(await engine.conversation(), "go on")
    before = await engine.until_seen(begun.run_id, "text_delta")
    async with engine.database.tenant(ACME) as session:
        await session.execute(update(Conversation).values(fence=Conversation.fence + 1))
        await session.execute(update(Run).values(fence=Run.fence + 1, owner="another"))
    (live,) = engine.execution.live
    release.set()
    await until(lambda: not engine.execution.live)
    events = await engine.execution.page(ACME, begun.run_id, before.seq, 100)
    assert events == []
    assert (await status_of(engine, begun.run_id))[0] == "running"
    assert live.claim.fence == 1
    async with engine.database.tenant_read(ACME) as session:
        assert await session.scalar(text("SELECT count(*) FROM session_entries")) == 0


async def test_a_lease_is_renewed_while_the_run_lasts(engine: Engine) -> None:
    engine.provider.scripts["work"] = begin_and_wait
    begun = await engine.start(await engine.conversation(), "work")
    await engine.until_seen(begun.run_id, "tool_call")
    async with engine.database.tenant(ACME) as session:
        await session.execute(update(Run).values(lease_until=text("clock_timestamp()")))
    await engine.leases.renew()
    async with engine.database.tenant_read(ACME) as session:
        assert await session.scalar(select(Run.lease_until > text("clock_timestamp() + interval '1 second'")))


async def test_cancelling_elsewhere_reaches_the_owner(database: Database, engine: Engine, tmp_path: Path) -> None:
    engine.provider.scripts["work"] = begin_and_wait
    begun = await engine.start(await engine.conversation(), "work")
    await engine.until_seen(begun.run_id, "tool_call")
    async with replica(database, tmp_path / "two") as other:
        await other.execution.cancel(ACME, begun.run_id)
        assert data((await other.events(begun.run_id))[-1])["status"] == "cancelled"


async def test_the_longest_idle_sandbox_makes_room(database: Database, engine: Engine, tmp_path: Path) -> None:
    async with replica(database, tmp_path / "small", sandbox_max=1) as small:
        for _ in range(3):
            assert data((await small.run(await small.conversation()))[-1])["status"] == "success"
        assert len(small.provider.living) == 1


async def test_a_conversation_waits_for_a_sandbox_while_all_are_busy(
    database: Database, engine: Engine, tmp_path: Path
) -> None:
    async with replica(database, tmp_path / "small", sandbox_max=1) as small:
        small.provider.scripts["work"] = begin_and_wait
        busy = await small.start(await small.conversation(), "work")
        await small.until_seen(busy.run_id, "tool_call")
        waiting = await small.start(await small.conversation())
        await small.until_seen(waiting.run_id, "progress")
        assert len(small.provider.made) == 1
        await small.execution.cancel(ACME, busy.run_id)
        assert data((await small.events(waiting.run_id))[-1])["status"] == "success"


async def test_a_new_conversation_is_prewarmed_and_a_deleted_one_leaves_nothing(engine: Engine) -> None:
    conversation_id = await engine.conversation()
    await engine.sandboxes.prewarm(ACME, conversation_id)
    await until(lambda: engine.sandboxes.counts == (1, 1))
    await engine.run(conversation_id)
    assert len(engine.provider.made) == 1
    assert engine.sandboxes.counts == (0, 1)
    await engine.sandboxes.discard(ACME, conversation_id)
    await until(lambda: not engine.provider.living)
    assert engine.sandboxes.counts == (0, 0)
