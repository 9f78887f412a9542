"""What the server knows and nobody else may learn: looked for inside a sandbox, and in all that is kept or told."""

import asyncio
import json
import os
from importlib.util import find_spec
from pathlib import Path

import pytest

from app.infrastructure.embedded.postgres import PACKAGE
from app.infrastructure.unix_sockets import reachable
from tests.end_to_end.client import Talk, of, raw, status_of
from tests.end_to_end.conftest import House
from tests.end_to_end.processes import MARK, SECRETS

pytestmark = [pytest.mark.needs_cli, pytest.mark.needs_bubblewrap, pytest.mark.slow]

TOKEN = f"token-{MARK}-e8c1"
WORD = MARK.lower().encode()

LOOK = Path(__file__).with_name("inside.py").read_text()


async def dump(house: House) -> bytes:
    """The whole database as text."""
    spec = find_spec(PACKAGE)
    assert spec
    assert spec.submodule_search_locations
    program = Path(spec.submodule_search_locations[0]) / "pginstall18" / "bin" / "pg_dump"
    with reachable(house.data / "postgres" / "socket") as host:
        where = host.replace("self", str(os.getpid()))
        process = await asyncio.create_subprocess_exec(
            *(program, "--host", where, "--username", "postgres", "--dbname", "backend"), stdout=asyncio.subprocess.PIPE
        )
        text, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0
    return text


async def force_errors(talk: Talk) -> None:
    """Errors of every kind, in which somebody could be told too much."""
    for headers in ({"X-API-Key": "wrong-wrong-wrong"}, {"Authorization": f"Bearer {SECRETS['API_KEYS']}x"}):
        await talk.api.call("GET", talk.path, headers=headers)
    await talk.api.call("GET", f"{talk.path}?api_key={SECRETS['API_KEYS']}")
    await talk.api.call("POST", f"{talk.path}/stream", {"tokens": {"crm": TOKEN}, "user_input": 1})
    await talk.turn("@text half\n@fail model_error")
    await talk.turn("@fail validation")


async def test_no_secret_is_in_a_sandbox_a_stream_a_log_or_the_database(house: House, talk: Talk) -> None:
    command = json.dumps({"command": f"python3 - {MARK[:4]} {MARK[4:]} <<'END'\n{LOOK}END", "timeout": 60_000})
    async with talk.streaming(f"@tool Bash {command}\n@echo_results", tokens={"crm": TOKEN}) as stream:
        events = await stream.rest()
    assert status_of(events) == "success"
    (result,) = of("tool_result", events)
    looked, _, found = result["content"].partition(" found ")
    assert found == "[]", result["content"]
    files, processes, answers, _ = map(int, looked.split())
    assert files > 10
    assert processes > 2
    assert answers > 0
    await force_errors(talk)
    dumped = (await dump(house)).lower()
    assert talk.id.encode() in dumped
    assert WORD not in dumped
    assert WORD not in raw(events).lower()
    assert WORD not in (await house.api.call("GET", "/metrics")).raw.lower()
    assert WORD not in house.server.log.read_bytes().lower()
    kept = [path for path in house.data.rglob("*") if path.is_file() and "postgres" not in path.parts]
    assert [path for path in kept if WORD in path.read_bytes().lower()] == []
