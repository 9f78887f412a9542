"""A run from its admission to its `done`."""

import asyncio
from uuid import UUID

import pytest
from sqlalchemy import select

from app.errors import ConversationBusy, NotFound, ResourceInactive, RuleBroken
from app.models import Conversation, Event, Message, Run
from app.services.execution.outcome import ABANDONED
from runner import protocol
from tests.execution.conftest import ACME, Engine, data, kinds
from tests.execution.scripted import Speaker


async def row(engine: Engine, run_id: UUID) -> Run:
    async with engine.database.tenant_read(ACME) as session:
        return (await session.scalars(select(Run).where(Run.run_id == run_id))).one()


async def messages(engine: Engine, conversation_id: UUID) -> list[Message]:
    async with engine.database.tenant_read(ACME) as session:
        wanted = select(Message).where(Message.conversation_id == conversation_id).order_by(Message.message_seq)
        return list(await session.scalars(wanted))


async def test_a_run_tells_everything_in_order_and_stores_what_it_told(engine: Engine) -> None:
    conversation_id = await engine.conversation()
    begun = await engine.start(conversation_id)
    events = await engine.events(begun.run_id)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    told = [kind for kind in kinds(events) if kind != "text_delta"]
    assert told == ["progress", "init", "progress", "assistant", "title", "context_status", "done"]
    async with engine.database.tenant_read(ACME) as session:
        stored = await session.execute(select(Event.seq, Event.type, Event.data).order_by(Event.seq))
        assert [tuple(event) for event in stored] == [tuple(event) for event in events]
    done = data(events[-1])
    assert (done["status"], done["result"], done["run_id"]) == ("success", "Hello", str(begun.run_id))
    run = await row(engine, begun.run_id)
    assert (run.status, run.turn_count) == ("succeeded", 1)
    assert run.started_at is not None
    assert run.finished_at is not None


async def test_both_sides_are_kept_as_messages_with_the_events_of_the_run(engine: Engine) -> None:
    conversation_id = await engine.conversation()
    await engine.run(conversation_id)
    user, assistant = await messages(engine, conversation_id)
    assert user.content == {"type": "user", "text": "hello"}
    assert assistant.content is not None
    assert assistant.content["text"] == "Hello"
    assert [event["event"] for event in assistant.content["events"]] == ["assistant"]
    assert (user.message_seq, assistant.message_seq) == (1, 2)


async def test_the_context_is_reported_and_a_full_conversation_is_not_gone_on_with(engine: Engine) -> None:
    async def fill(speaker: Speaker) -> None:
        await speaker.end(result="", context_tokens=9_600)

    engine.provider.scripts["fill"] = fill
    conversation_id = await engine.conversation()
    events = await engine.run(conversation_id, "fill")
    status = next(data(event) for event in events if event.type == "context_status")
    assert (status["warning_level"], status["can_continue"], status["usage_percent"]) == ("blocked", False, 96.0)
    refused = await engine.run(conversation_id, "more")
    assert kinds(refused) == ["error", "done"]
    assert data(refused[0])["error_type"] == "context_limit_exceeded"


async def test_a_second_turn_uses_the_same_sandbox_and_makes_no_second_title(engine: Engine) -> None:
    conversation_id = await engine.conversation()
    await engine.run(conversation_id, "one")
    second = await engine.run(conversation_id, "two")
    assert len(engine.provider.made) == 1
    assert len(engine.provider.made[0].opened) == 1
    assert "title" not in kinds(second)
    assert engine.titles == ["one"]


async def test_other_options_open_the_agent_anew_in_the_same_sandbox(engine: Engine) -> None:
    conversation_id = await engine.conversation()
    await engine.run(conversation_id)
    await engine.run(conversation_id, max_turns=3)
    (sandbox,) = engine.provider.made
    assert [opened.options.max_turns for opened in sandbox.opened] == [100, 3]


async def test_a_busy_conversation_names_its_run(engine: Engine) -> None:
    engine.provider.scripts["wait"] = lambda speaker: speaker.interrupted.wait()
    conversation_id = await engine.conversation()
    begun = await engine.start(conversation_id, "wait")
    with pytest.raises(ConversationBusy) as refused:
        await engine.start(conversation_id)
    assert refused.value.extra == {"run_id": str(begun.run_id)}


@pytest.mark.slow
async def test_of_a_hundred_requests_with_one_key_one_begins_a_run(engine: Engine) -> None:
    conversation_id = await engine.conversation()
    asked = engine.asked(conversation_id, key="once")
    answers = await asyncio.gather(*(engine.execution.start(asked) for _ in range(100)), return_exceptions=True)
    begun = [answer for answer in answers if not isinstance(answer, BaseException)]
    assert all(isinstance(answer, ConversationBusy) for answer in answers if isinstance(answer, BaseException))
    async with engine.database.tenant_read(ACME) as session:
        (run,) = (await session.scalars(select(Run))).all()
    assert {answer.run_id for answer in begun} == {run.run_id}
    events = await engine.events(run.run_id)
    again = await engine.execution.start(asked)
    assert (again.run_id, again.replayed) == (run.run_id, True)
    assert await engine.events(again.run_id) == events


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"status": "archived"}, ResourceInactive),
        ({"user_id": "bob", "status": "archived"}, ResourceInactive),
    ],
)
async def test_what_refuses_a_run_leaves_no_row(engine: Engine, fields: dict[str, str], error: type[Exception]) -> None:
    conversation_id = await engine.conversation(**fields)
    with pytest.raises(error):
        await engine.start(conversation_id)
    assert await messages(engine, conversation_id) == []
    assert engine.provider.made == []


async def test_an_unknown_conversation_or_model_is_told_so(engine: Engine) -> None:
    conversation_id = await engine.conversation()
    with pytest.raises(NotFound):
        await engine.start(UUID(int=1))
    for model_id in ("nothing", "old"):
        with pytest.raises(RuleBroken):
            await engine.start(conversation_id, model_id=model_id)
    assert await messages(engine, conversation_id) == []


async def test_a_deprecated_model_is_replaced_for_the_run_and_said_so(engine: Engine) -> None:
    conversation_id = await engine.conversation(model_id="old")
    begun = await engine.start(conversation_id)
    init = data(await engine.until_seen(begun.run_id, "init"))
    assert (init["model"], init["replaced_model_id"]) == ("sonnet", "old")
    await engine.events(begun.run_id)
    async with engine.database.tenant_read(ACME) as session:
        assert await session.scalar(select(Conversation.model_id)) == "old"


async def test_a_failed_tool_is_a_result_and_not_a_failed_run(engine: Engine) -> None:
    async def fail(speaker: Speaker) -> None:
        await speaker.say(protocol.ToolUse, tool_use_id="t1", name="Bash", input={"command": "false"})
        await speaker.say(protocol.ToolResult, tool_use_id="t1", text="exit 1", is_error=True)
        await speaker.end(result="")

    engine.provider.scripts["fail"] = fail
    events = await engine.run(await engine.conversation(), "fail")
    result = next(data(event) for event in events if event.type == "tool_result")
    assert (result["is_error"], result["status"], result["tool_name"]) == (True, "error", "Bash")
    assert data(events[-1])["status"] == "success"


async def test_what_the_agent_calls_an_error_is_never_a_success(engine: Engine) -> None:
    async def fail(speaker: Speaker) -> None:
        await speaker.end("error", reason="api_error_529", errors=("overloaded",))

    engine.provider.scripts["fail"] = fail
    begun = await engine.start(await engine.conversation(), "fail")
    events = await engine.events(begun.run_id)
    assert kinds(events)[-2:] == ["error", "done"]
    assert data(events[-2])["error_type"] == "model_unavailable"
    assert data(events[-1])["status"] == "error"
    assert (await row(engine, begun.run_id)).status == "failed"


async def test_a_transcript_is_stored_before_the_run_ends(engine: Engine) -> None:
    async def remember(speaker: Speaker) -> None:
        key = protocol.SessionKey(project_key="p", session_id="s")
        entries = [{"type": "user", "uuid": str(number)} for number in range(3)]
        await speaker.say(protocol.StoreAppend, request=1, key=key, entries=entries)
        await speaker.end(result="")

    engine.provider.scripts["remember"] = remember
    conversation_id = await engine.conversation()
    await engine.run(conversation_id, "remember")
    await engine.run(conversation_id, max_turns=7)
    assert engine.provider.made[0].opened[-1].options.resume is True


def test_an_abandoned_run_can_be_tried_again() -> None:
    assert ABANDONED.error is not None
    assert ABANDONED.error.recoverable
