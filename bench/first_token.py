"""The first text of an answer and its end: through the whole API, and by the bare SDK in the same kind of sandbox."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from bench import processes
from bench.bare import BareSdk, Times, bare_sdk
from bench.client import Client, Turn, client
from bench.figures import Figure, difference, ratio, spread
from bench.processes import StandIn

TEXT = "@stream n=32"
REALISTIC = {"ttft": 0.3, "rate": 80.0}
"""Seconds to a model's first token, and tokens a second from then on."""
AT_ONCE = {"ttft": 0.0, "rate": 0.0}
SETTLE_SECONDS = 0.5
"""How long somebody who opened a conversation takes at least until the message is written."""
STEPS = {"progress": "run accepted and recorded", "init": "the CLI took the prompt", "text_delta": "first text"}


@dataclass(slots=True)
class Samples:
    """Milliseconds of every round."""

    first_text: list[float] = field(default_factory=list)
    end: list[float] = field(default_factory=list)

    def add(self, times: Times) -> None:
        self.first_text.append(times["first_text"])
        self.end.append(times["end"])


@dataclass(frozen=True, slots=True)
class Stage:
    """Both sides and the model service they share."""

    standin: StandIn
    bare: BareSdk
    client: Client


Side = Callable[[], Awaitable[Times]]


@asynccontextmanager
async def _stage() -> AsyncIterator[Stage]:
    with processes.scratch() as folder:
        async with (
            bare_sdk(folder) as bare,
            processes.standin(folder, bare.gateway_folder) as standin,
            processes.server(folder, standin.url) as server,
            client(server.url) as api,
        ):
            yield Stage(standin, bare, api)


async def measure(rounds: int) -> list[Figure]:
    """All figures."""
    async with _stage() as stage:
        new = await _new_conversations(stage, max(1, rounds // 2))
        hot, hot_at_once, steps = await _hot_turns(stage, rounds)
    return [*_judged_hot(*hot), *_judged_new(*new), *_shown(*hot_at_once, steps)]


async def _interleaved(rounds: int, ours: Side, bare: Side) -> tuple[Samples, Samples]:
    samples = Samples(), Samples()
    for _ in range(rounds):
        for side, times in zip(samples, (await ours(), await bare()), strict=True):
            side.add(times)
    return samples


async def _new_conversations(stage: Stage, rounds: int) -> tuple[Samples, Samples]:
    async def ours() -> Times:
        conversation = await stage.client.create_conversation()
        await stage.client.warmed()
        await asyncio.sleep(SETTLE_SECONDS)
        times = _times(await stage.client.turn(conversation, TEXT))
        await stage.client.delete_conversation(conversation)
        await stage.client.emptied()
        return times

    async def bare() -> Times:
        await asyncio.sleep(SETTLE_SECONDS)
        return await stage.bare.query(TEXT)

    await _interleaved(1, ours, bare)
    return await _interleaved(rounds, ours, bare)


async def _hot_turns(
    stage: Stage, rounds: int
) -> tuple[tuple[Samples, Samples], tuple[Samples, Samples], dict[str, list[float]]]:
    conversation = await stage.client.create_conversation()
    await stage.client.warmed()
    await stage.bare.open()
    steps: dict[str, list[float]] = {kind: [] for kind in STEPS}

    async def ours() -> Times:
        turn = await stage.client.turn(conversation, TEXT)
        for kind, samples in steps.items():
            samples.append(turn.first(kind))
        return _times(turn)

    async def bare() -> Times:
        return await stage.bare.turn(TEXT)

    await _interleaved(2, ours, bare)
    await stage.standin.set(**REALISTIC)
    realistic = await _interleaved(rounds, ours, bare)
    await stage.standin.set(**AT_ONCE)
    for samples in steps.values():
        samples.clear()
    return realistic, await _interleaved(rounds, ours, bare), steps


def _times(turn: Turn) -> Times:
    if turn.faults:
        raise RuntimeError(f"a turn went wrong: {turn.faults}")
    return {"first_text": turn.first("text_delta"), "end": turn.first("done")}


def _judged_hot(ours: Samples, bare: Samples) -> list[Figure]:
    name = "hot turn, model takes 300 ms"
    return [
        ratio(f"{name}: first text", ours.first_text, bare.first_text, "ms", most=1.25),
        difference(f"{name}: first text", ours.first_text, bare.first_text, "ms", most=15),
        ratio(f"{name}: end of turn", ours.end, bare.end, "ms"),
    ]


def _judged_new(ours: Samples, bare: Samples) -> list[Figure]:
    name = "new conversation, pre-warmed : query()"
    return [
        ratio(f"{name}: first text", ours.first_text, bare.first_text, "ms", most=0.5),
        ratio(f"{name}: end of turn", ours.end, bare.end, "ms"),
    ]


def _shown(ours: Samples, bare: Samples, steps: dict[str, list[float]]) -> list[Figure]:
    name = "hot turn, model answers at once"
    return [
        ratio(f"{name}: first text", ours.first_text, bare.first_text, "ms"),
        ratio(f"{name}: end of turn", ours.end, bare.end, "ms"),
        *(Figure(f"  {STEPS[kind]}, at the client after", spread(samples, "ms")) for kind, samples in steps.items()),
    ]
