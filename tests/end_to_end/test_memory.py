"""A conversation outlives its sandbox."""

import json

import pytest

from standin.scenarios import demo_prompts
from tests.end_to_end.client import Talk, status_of, text_of
from tests.end_to_end.conftest import House
from tests.end_to_end.processes import all_gone, stop

pytestmark = [pytest.mark.needs_cli, pytest.mark.needs_bubblewrap, pytest.mark.slow]

TASK, QUESTION = demo_prompts()
LOOK = '@tool Bash {"command": "ls /workspace; head -1 primes.py"}\n@echo_results'


async def lose_sandbox(house: House, talk: Talk) -> None:
    """Kill everything of a conversation's sandbox."""
    processes = house.server.sandbox_of(talk.id)
    stop(processes[0])
    await all_gone(processes)


async def test_a_turn_in_a_new_sandbox_knows_what_was_said_and_finds_its_files(house: House, talk: Talk) -> None:
    assert status_of(await talk.turn(TASK)) == "success"
    await lose_sandbox(house, talk)
    again = await talk.turn(QUESTION)
    assert "the largest prime that the program printed was 71" in text_of(again)
    assert "primes.py" in text_of(await talk.turn(LOOK))
    await lose_sandbox(house, talk)
    assert "Prints the first 20 primes" in text_of(await talk.turn(LOOK))
    assert [message["message_seq"] for message in await talk.messages()] == [*range(1, 9)]


async def test_a_conversation_without_a_workspace_keeps_its_memory_alone(house: House) -> None:
    talk = await house.talk(workspace_enabled=False)
    await talk.turn('@text The code is quartz.\n@tool Bash {"command": "touch kept"}\n@text ok')
    await lose_sandbox(house, talk)
    events = await talk.turn('@recall code is (\\w+)\n@tool Bash {"command": "ls"}\n@echo_results')
    assert "quartz" in text_of(events)
    assert "kept" not in json.dumps([event.data for event in events if event.type == "tool_result"])
