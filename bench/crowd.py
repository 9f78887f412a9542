"""Many conversations at once, each with text and a tool call: nothing fails, nothing is missing, memory stays small."""

import asyncio
import time
from collections.abc import Sequence
from statistics import median

from bench import processes
from bench.client import Client, Turn, client
from bench.figures import Figure, quantile

TEXT = '@stream n=64 rate=80\n@tool Bash {"command": "echo crowd; ls -la /workspace | head"}\n@stream n=64 rate=80'
"""A model writes some 80 tokens a second."""
MEBIBYTES = 250


async def measure(conversations: int) -> list[Figure]:
    """Figures of a first turn, begun as soon as the conversations exist, and of a second one."""
    with processes.scratch() as folder:
        async with (
            processes.standin(folder) as standin,
            processes.server(folder, standin.url) as server,
            client(server.url) as api,
        ):
            idle = processes.peak_memory(server.pid)
            created = await asyncio.gather(*(api.create_conversation() for _ in range(conversations)))
            first = await _round(api, created, "first turns")
            before = processes.cpu_seconds(server.pid)
            second = await _round(api, created, "second turns")
            spent = (processes.cpu_seconds(server.pid) - before) / conversations
            peak = processes.peak_memory(server.pid)
    memory = Figure(
        "memory of the API process, at most", f"{peak:.0f} MiB", f"{idle:.0f} MiB idle", "", f"<= {MEBIBYTES} MiB",
        peak <= MEBIBYTES,
    )  # fmt: skip
    return [*first, *second, Figure("  of the API process: CPU for each of them", f"{spent * 1000:.0f} ms"), memory]


async def _round(api: Client, conversations: Sequence[str], name: str) -> list[Figure]:
    begun = time.monotonic()
    turns = await asyncio.gather(*(api.turn(conversation, TEXT) for conversation in conversations))
    seconds = time.monotonic() - begun
    faults = [fault for pair in zip(conversations, turns, strict=True) for fault in await _faults(api, *pair)]
    texts = [turn.first("text_delta") for turn in turns if not turn.faults]
    events = sum(len(turn.events) for turn in turns)
    return [
        Figure(
            f"{len(turns)} {name} at once: without fault",
            f"{len(turns) - len(faults)} of {len(turns)}, {events} events",
            relation="; ".join(sorted(set(faults))),
            target="all",
            met=not faults,
        ),
        Figure("  first text, p50 and p99; until all had ended", f"{_pair(texts)}; {seconds:.1f} s"),
    ]


def _pair(values: Sequence[float]) -> str:
    return f"{median(values):,.0f} and {quantile(values, 99):,.0f} ms" if values else "none"


async def _faults(api: Client, conversation: str, turn: Turn) -> list[str]:
    """One line at most: what is wrong with a turn as its client saw it."""
    found = list(turn.faults)
    numbered = [event for event in turn.events if event.type != "ping"]
    if await api.recorded(conversation, turn.run_id) != len(numbered):
        found.append("not all that is recorded")
    return [", ".join(found)] if found else []
