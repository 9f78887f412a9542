"""What must hold of everything that was ever done, read from the database and the model service's own counters."""

import asyncio
import json
import time
from collections import Counter
from typing import Any

from app.repositories.conclusions import KINDS
from tests.end_to_end.conftest import House

ENDS = {"succeeded": "success", "failed": "error", "interrupted": "error", "cancelled": "cancelled"}

_RUNS = """
    SELECT run.*, coalesce(array_agg(event.seq ORDER BY event.seq) FILTER (WHERE event.seq > 0), '{}') AS seqs,
           array_agg(event.type ORDER BY event.seq) AS types, array_agg(event.data ORDER BY event.seq) AS datas
    FROM runs AS run LEFT JOIN events AS event USING (tenant_id, run_id)
    GROUP BY run.tenant_id, run.run_id
"""
_SUMS = "sum(" + "), sum(".join(KINDS) + ")"
_SPENT = f"SELECT run_id, {_SUMS}, sum(cost_usd) FROM usage_logs WHERE run_id IS NOT NULL GROUP BY run_id"
_CALLS = f"SELECT bedrock_model_id, operation, {', '.join(KINDS)} FROM usage_logs"
_NUMBERS = """
    SELECT conversation_id, array_agg(message_seq ORDER BY message_seq) AS seqs,
           array_agg(run_id) FILTER (WHERE message_type = 'user') AS asked
    FROM messages GROUP BY conversation_id
"""


async def check_runs(house: House) -> int:
    """Every run ended once, its events are 1..n with `done` last, and its usage is its ledger's; how many runs."""
    spent = {row[0]: tuple(row)[1:] for row in await house.rows(_SPENT)}
    runs = await house.rows(_RUNS)
    for run in runs:
        assert run["status"] in ENDS, run["run_id"]
        assert run["seqs"] == [*range(1, len(run["seqs"]) + 1)], run["run_id"]
        assert run["types"].index("done") == len(run["types"]) - 1
        done = json.loads(run["datas"][-1])
        assert done["status"] == ENDS[run["status"]]
        assert [json.loads(data)["seq"] for data in run["datas"]] == run["seqs"]
        used = spent.get(run["run_id"], (0,) * (len(KINDS) + 1))
        assert tuple(run[kind] for kind in (*KINDS, "cost_usd")) == used, run["run_id"]
        assert tuple(done["usage"][kind] for kind in KINDS) == used[:-1]
    return len(runs)


async def check_messages(house: House) -> None:
    """A conversation's messages are 1..n, one of them a user's for each of its runs."""
    runs = {row[0] for row in await house.rows("SELECT run_id FROM runs")}
    asked: list[Any] = []
    for row in await house.rows(_NUMBERS):
        assert row["seqs"] == [*range(1, len(row["seqs"]) + 1)], row["conversation_id"]
        asked += row["asked"]
    assert Counter(asked) == Counter(runs)


async def check_usage(house: House) -> int:
    """The ledger's rows are the model service's own counts, call by call; how many."""
    deadline = time.monotonic() + 15
    while True:
        counters = await house.counters()
        counted = Counter(call for call in map(_counts, counters["calls"]) if any(call[2:]))
        recorded = Counter(tuple(row) for row in await house.rows(_CALLS))
        if counted == recorded and not counters["in_flight"]:
            return counted.total()
        assert time.monotonic() < deadline, (counted - recorded, recorded - counted)
        await asyncio.sleep(0.1)  # an answer that nobody wants is still read for its usage


def _counts(call: dict[str, Any]) -> tuple[Any, ...]:
    counts = ("input_tokens", "output_tokens", "cache_creation_5m", "cache_creation_1h", "cache_read")
    return (call["model"], call["operation"], *(call[name] for name in counts))


async def check_everything(house: House) -> None:
    await check_usage(house)
    await check_runs(house)
    await check_messages(house)
