"""Every way to read the log gives the same events, once each and in order."""

import asyncio
import itertools
import random
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from app.database import TenantId, new_id
from app.repositories.runs import Claim
from app.schemas.events import Assistant, Recorded, TextBlock, TextDelta
from app.services.execution.run_log import RunLog
from tests.execution.conftest import ACME, Engine, data, kinds, until
from tests.execution.scripted import Speaker

EVENTS = 200
MOMENT = datetime.now(UTC)


async def speak_long(speaker: Speaker) -> None:
    for number in range(EVENTS):
        await speaker.text(f"line {number}")
    await speaker.end(result="")


async def test_a_stream_cut_after_each_event_goes_on_without_loss_or_repeat(engine: Engine) -> None:
    engine.provider.scripts["long"] = speak_long
    begun = await engine.start(await engine.conversation(), "long")
    whole = await engine.events(begun.run_id)
    assert len(whole) > EVENTS
    for cut in range(len(whole)):
        assert await engine.events(begun.run_id, cut) == whole[cut:]


async def test_readers_that_come_and_go_while_the_run_goes_on_all_see_the_same(engine: Engine) -> None:
    engine.provider.scripts["long"] = speak_long
    begun = await engine.start(await engine.conversation(), "long")

    async def read_in_pieces(seed: int) -> list[Recorded]:
        chance = random.Random(seed)
        seen: list[Recorded] = []
        while not seen or seen[-1].type != "done":
            patience = chance.randint(1, 40)
            async for batch in engine.execution.follow(ACME, begun.run_id, seen[-1].seq if seen else 0):
                seen.extend(batch)
                patience -= len(batch)
                if patience <= 0:
                    break
        return seen

    async with asyncio.timeout(60):
        readers = await asyncio.gather(*(read_in_pieces(seed) for seed in range(8)))
    whole = await engine.events(begun.run_id)
    assert all(seen == whole for seen in readers)
    assert [event.seq for event in whole] == list(range(1, len(whole) + 1))


async def test_silence_is_told_so_that_a_stream_can_ping(engine: Engine) -> None:
    engine.provider.scripts["wait"] = lambda speaker: speaker.interrupted.wait()
    begun = await engine.start(await engine.conversation(), "wait")
    batches = engine.execution.follow(ACME, begun.run_id, 0)
    async with asyncio.timeout(10):
        assert [batch async for batch in _until_silent(batches)]
    await batches.aclose()


async def _until_silent(batches):
    async for batch in batches:
        if not batch:
            yield True
            return


async def test_awkward_text_is_one_frame_and_the_same_string(engine: Engine) -> None:
    awkward = "a\nb\r\nc\u2028d\u2029e\x85f\x00g data: id: 7\n\n event: done 😀"

    async def speak(speaker: Speaker) -> None:
        await speaker.text(awkward)
        await speaker.end(result=awkward)

    engine.provider.scripts["awkward"] = speak
    events = await engine.run(await engine.conversation(), "awkward")
    spoken = next(event for event in events if event.type == "assistant")
    assert len(spoken.data.splitlines()) == 1
    assert data(spoken)["content_blocks"] == [{"type": "text", "text": awkward}]


async def test_many_runs_at_once_lose_nothing(engine: Engine) -> None:
    engine.provider.scripts["long"] = speak_long
    conversations = [await engine.conversation() for _ in range(10)]
    runs = await asyncio.gather(*(engine.run(conversation_id, "long") for conversation_id in conversations))
    for events in runs:
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        assert kinds(events)[-1] == "done"


async def test_what_is_recorded_is_acknowledged_to_the_runner(engine: Engine) -> None:
    engine.provider.scripts["long"] = speak_long
    await engine.run(await engine.conversation(), "long")
    (sandbox,) = engine.provider.made
    await until(lambda: sandbox.acknowledged >= EVENTS * 2 + 1)


@given(st.lists(st.tuples(st.sampled_from(["a", "b", None]), st.text(max_size=5)), max_size=30))
def test_merging_deltas_keeps_every_speakers_words_in_order(spoken: list[tuple[str | None, str]]) -> None:
    log = RunLog(Claim(TenantId("t"), new_id(), 1), wake=lambda _: None)
    log.append([TextDelta(content=text, parent_agent_id=parent) for parent, text in spoken], MOMENT, 1)
    log.append([Assistant(content_blocks=(TextBlock(type="text", text="end"),))], MOMENT, 2)
    batch = log.take(1000)
    merged = [data(Recorded(row.seq, row.type, row.data)) for row in batch.rows]
    for speaker in ("a", "b", None):
        told = "".join(text for parent, text in spoken if parent == speaker)
        kept = [event for event in merged if event.get("parent_agent_id") == speaker and "content" in event]
        assert "".join(str(event["content"]) for event in kept) == told
    parents = [event.get("parent_agent_id") for event in merged[:-1]]
    assert all(first != second for first, second in itertools.pairwise(parents))
