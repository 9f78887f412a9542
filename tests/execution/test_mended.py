"""What once went wrong, and must not again."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import select, update

from app.database import Database
from app.errors import Forbidden
from app.models import Conversation, Run
from app.repositories.conversations import Conversations
from app.services.model_gate import Binding, Origin
from runner import protocol
from tests.execution.conftest import ACME, Engine, data, kinds, replica, until
from tests.execution.scripted import Speaker


async def test_more_runs_than_sandboxes_all_get_their_turn(database: Database, engine: Engine, tmp_path: Path) -> None:
    async with replica(database, tmp_path / "small", sandbox_max=2) as small:
        conversations = [await small.conversation() for _ in range(8)]
        runs = await asyncio.gather(*(small.run(conversation_id) for conversation_id in conversations))
        assert [data(events[-1])["status"] for events in runs] == ["success"] * 8
        assert len(small.provider.living) <= 2


async def test_a_link_lost_right_after_the_turn_keeps_the_transcript(engine: Engine) -> None:
    async def end_and_die(speaker: Speaker) -> None:
        key = protocol.SessionKey(project_key="p", session_id="s")
        for number in range(20):
            await speaker.say(protocol.StoreAppend, request=number, key=key, entries=[{"uuid": str(number)}])
        await speaker.end(result="")
        speaker.die()

    engine.provider.scripts["end and die"] = end_and_die
    events = await engine.run(await engine.conversation(), "end and die")
    assert data(events[-1])["status"] == "success"
    async with engine.database.tenant_read(ACME) as session:
        from_all = await session.execute(select(Run.status))
        assert [row.status for row in from_all] == ["succeeded"]


async def test_a_turn_whose_memory_cannot_be_stored_is_no_success(engine: Engine) -> None:
    async def remember_nonsense(speaker: Speaker) -> None:
        key = protocol.SessionKey(project_key="p", session_id="s")
        await speaker.say(protocol.StoreAppend, request=1, key=key, entries=[{"uuid": "a\0b"}])
        await speaker.end(result="")

    engine.provider.scripts["nonsense"] = remember_nonsense
    conversation_id = await engine.conversation()
    events = await engine.run(conversation_id, "nonsense")
    assert data(events[-2])["error_type"] == "execution_error"
    assert data((await engine.run(conversation_id))[-1])["status"] == "success"


async def test_a_number_that_nobody_can_hold_breaks_nothing(engine: Engine) -> None:
    async def boast(speaker: Speaker) -> None:
        await speaker.say(protocol.ToolUse, tool_use_id="t", name="Bash", input={"n": 10**400, "f": 1e300, "i": 2**60})
        await speaker.end(result="")

    engine.provider.scripts["boast"] = boast
    events = await engine.run(await engine.conversation(), "boast")
    assert data(events[-1])["status"] == "success"
    call = next(data(event) for event in events if event.type == "tool_call")
    assert call["input"] == {"n": "a very large number", "f": "1e+300", "i": "a very large number"}


async def test_a_run_that_breaks_ends_at_once_and_says_so(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("app.services.execution.turn.translate", fail)
    conversation_id = await engine.conversation()
    begun = await engine.start(conversation_id)
    events = await engine.events(begun.run_id)
    assert kinds(events)[-2:] == ["error", "done"]
    assert data(events[-2])["error_type"] == "execution_error"
    monkeypatch.undo()
    assert data((await engine.run(conversation_id))[-1])["status"] == "success"


async def test_the_stream_of_a_deleted_run_ends(engine: Engine) -> None:
    engine.provider.scripts["wait"] = lambda speaker: speaker.interrupted.wait()
    conversation_id = await engine.conversation()
    begun = await engine.start(conversation_id, "wait")
    following = asyncio.create_task(engine.events(begun.run_id))
    await engine.until_seen(begun.run_id, "progress")
    async with engine.database.tenant(ACME) as session:
        await Conversations(session, ACME).delete(conversation_id)
    await engine.sandboxes.discard(ACME, conversation_id)
    assert "done" not in kinds(await following)


async def test_silence_is_told_on_every_replica(database: Database, engine: Engine, tmp_path: Path) -> None:
    engine.provider.scripts["wait"] = lambda speaker: speaker.interrupted.wait()
    begun = await engine.start(await engine.conversation(), "wait")
    await engine.until_seen(begun.run_id, "progress")
    async with replica(database, tmp_path / "two", ping_seconds=1.5) as other, asyncio.timeout(10):
        batches = other.execution.follow(ACME, begun.run_id, 0)
        assert [batch async for batch in _two(batches)][-1] == ()
        await batches.aclose()


async def _two(batches):
    seen = 0
    async for batch in batches:
        yield batch
        seen += not batch
        if seen:
            return


async def test_what_is_durable_is_acknowledged_without_a_further_frame(engine: Engine) -> None:
    async def speak_and_wait(speaker: Speaker) -> None:
        await speaker.say(protocol.Text, text="one")
        await speaker.interrupted.wait()
        await speaker.end("interrupted")

    engine.provider.scripts["speak"] = speak_and_wait
    begun = await engine.start(await engine.conversation(), "speak")
    await engine.until_seen(begun.run_id, "assistant")
    (sandbox,) = engine.provider.made
    await until(lambda: sandbox.acknowledged == 2)


async def test_an_agent_that_died_between_turns_is_started_anew(engine: Engine) -> None:
    conversation_id = await engine.conversation()
    await engine.run(conversation_id)
    (sandbox,) = engine.provider.made
    await sandbox.send(protocol.Failed, kind="died", message="exit 137")
    await until(lambda: not any(place.agent.opened for place in engine.sandboxes._places.values()))
    assert data((await engine.run(conversation_id))[-1])["status"] == "success"
    assert len(sandbox.opened) == 2


async def test_an_agent_that_missed_another_replicas_turn_is_opened_anew(
    database: Database, engine: Engine, tmp_path: Path
) -> None:
    conversation_id = await engine.conversation()
    await engine.run(conversation_id)
    async with replica(database, tmp_path / "two") as other:
        await other.run(conversation_id)
    await engine.run(conversation_id)
    (sandbox,) = engine.provider.made
    assert len(sandbox.opened) == 2


async def test_a_title_the_user_gave_meanwhile_stays(engine: Engine) -> None:
    engine.provider.scripts["speak"] = _speak_then_wait
    conversation_id = await engine.conversation()
    begun = await engine.start(conversation_id, "speak")
    await engine.until_seen(begun.run_id, "text_delta")
    async with engine.database.tenant(ACME) as session:
        await session.execute(update(Conversation).values(title="Mine"))
    await engine.execution.cancel(ACME, begun.run_id)
    events = await engine.events(begun.run_id)
    assert "title" not in kinds(events)
    assert data(events[-1])["turn_count"] == 1
    async with engine.database.tenant_read(ACME) as session:
        assert await session.scalar(select(Conversation.title)) == "Mine"


async def _speak_then_wait(speaker: Speaker) -> None:
    await speaker.say(protocol.TextDelta, text="So far")
    await speaker.interrupted.wait()
    await speaker.end("interrupted")


def test_after_its_run_a_sandbox_calls_no_model() -> None:
    binding = Binding(Origin(ACME, "ann"))
    assert binding.paying_origin.run_id is None
    binding.open_between_runs = False
    with pytest.raises(Forbidden):
        _ = binding.paying_origin
