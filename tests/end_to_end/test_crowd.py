"""Many conversations at once."""

import asyncio

import psutil
import pytest

from tests.end_to_end.client import Event, check_numbers, status_of, text_of
from tests.end_to_end.conftest import House
from tests.end_to_end.invariants import check_everything

pytestmark = [pytest.mark.needs_cli, pytest.mark.needs_bubblewrap, pytest.mark.slow]

CONVERSATIONS = 20
MOST_MEMORY = 250 * 1024 * 1024


async def talk_to(house: House, number: int) -> tuple[list[Event], list[Event]]:
    talk = await house.talk()
    first = await talk.turn(f'@text The code is n{number}.\n@tool Bash {{"command": "echo {number}"}}\n@echo_results')
    return first, await talk.turn("@recall code is (\\w+)")


async def test_twenty_conversations_at_once_all_get_their_own_answers_whole(house: House) -> None:
    async with asyncio.timeout(100):
        both = await asyncio.gather(*(talk_to(house, number) for number in range(CONVERSATIONS)))
    for number, (first, second) in enumerate(both):
        assert status_of(first) == status_of(second) == "success"
        assert text_of(first).endswith(f"Stand-in model: {number}")
        assert text_of(second).endswith(f" n{number}")
        check_numbers(first)
        check_numbers(second)
    await check_everything(house)
    assert psutil.Process(house.server.pid).memory_info().rss < MOST_MEMORY
