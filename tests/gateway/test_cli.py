"""The real Claude Code CLI behind a door: what breaks outside must not look like success inside."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from claude_agent_sdk import AssistantMessage, ClaudeAgentOptions, ClaudeSDKClient, ResultMessage, TextBlock

from app.database import Database
from app.services.model_gate import Binding
from tests.gateway.conftest import HAIKU, assert_ledger_equals_counters, rows
from tests.standin.client import MODEL, Client

pytestmark = pytest.mark.needs_cli
FAILURES = (
    "throttling after=4",
    "internal after=6",
    "unavailable",
    "validation after=4",
    "expired",
    "cut after=4",
    "cut after=1000",
    "crc after=1000",
    "throttling after=1000",
    "empty after=1000",
    "crc after=6",
    "empty",
    "empty after=5",
    "missing_end",
)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@asynccontextmanager
async def loopback(door: Path) -> AsyncIterator[str]:
    """What the runner does in a sandbox: a port in front of the socket."""

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_door, to_door = await asyncio.open_unix_connection(str(door))
        await asyncio.gather(_pump(reader, to_door), _pump(from_door, writer))

    listener = await asyncio.start_server(connect, "127.0.0.1", 0)
    async with listener:
        yield f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"


@pytest.fixture
async def options(door: Path, tmp_path: Path) -> AsyncIterator[ClaudeAgentOptions]:
    async with loopback(door) as url:
        environment = {
            "CLAUDE_CODE_USE_BEDROCK": "1",
            "CLAUDE_CODE_SKIP_BEDROCK_AUTH": "1",
            "ANTHROPIC_BEDROCK_BASE_URL": url,
            "ANTHROPIC_DEFAULT_HAIKU_MODEL": HAIKU,
            "AWS_REGION": "us-west-2",
            "HOME": str(tmp_path),
            "CLAUDE_CONFIG_DIR": str(tmp_path / ".claude"),
            "CLAUDE_CODE_MAX_RETRIES": "1",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
            "DISABLE_TELEMETRY": "1",
            "IS_SANDBOX": "1",
        }
        yield ClaudeAgentOptions(
            model=MODEL,
            env=environment,
            cwd=tmp_path,
            tools=["Bash"],
            permission_mode="bypassPermissions",
            setting_sources=[],
            strict_mcp_config=True,
            max_turns=5,
        )


async def turn(options: ClaudeAgentOptions, prompt: str) -> tuple[ResultMessage, str]:
    """The result, and all text that was said."""
    said, result = "", None
    async with asyncio.timeout(90), ClaudeSDKClient(options) as agent:
        await agent.query(prompt)
        async for message in agent.receive_response():
            if isinstance(message, ResultMessage):
                result = message
            elif isinstance(message, AssistantMessage):
                said += "".join(block.text for block in message.content if isinstance(block, TextBlock))
    assert result
    return result, said


async def test_a_turn_with_a_tool_works_and_every_call_is_in_the_ledger(
    options: ClaudeAgentOptions, database: Database, service: Client, binding: Binding
):
    result, said = await turn(options, '@text go\n@tool Bash {"command": "echo out"}\n@echo_results')
    await binding.settled()
    assert (result.is_error, said) == (False, "goStand-in model: out")
    assert len(await rows(database)) >= 2
    await assert_ledger_equals_counters(database, service)


@pytest.mark.slow
@pytest.mark.parametrize("failure", FAILURES)
async def test_a_failed_stream_is_a_failed_turn(
    options: ClaudeAgentOptions, database: Database, service: Client, binding: Binding, failure
):
    result, _ = await turn(
        options, f"@stream n=20\n@fail {failure}" if " " in failure else f"@fail {failure}\n@text no"
    )
    await binding.settled()
    assert result.is_error
    await assert_ledger_equals_counters(database, service)
