"""The real Claude Code CLI, driven by the SDK, against the stand-in."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from claude_agent_sdk import (
    AssistantMessage,
    ClaudeAgentOptions,
    ClaudeSDKClient,
    ResultMessage,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
    UserMessage,
)

from standin import scenarios, server
from tests.standin.client import MODEL, Client

pytestmark = pytest.mark.needs_cli
HAIKU = "global.anthropic.claude-haiku-4-5-20251001-v1:0"
TOOLS = ["Bash", "Read", "Write", "Task"]
Talk = Callable[..., Any]
Options = Callable[..., ClaudeAgentOptions]


class Turn:
    """All messages of one turn."""

    def __init__(self, messages: list[Any]) -> None:
        self.messages = messages
        self.result = next(message for message in messages if isinstance(message, ResultMessage))

    def blocks(self, kind: type) -> list[Any]:
        spoken = [message for message in self.messages if isinstance(message, AssistantMessage | UserMessage)]
        return [block for message in spoken for block in message.content if isinstance(block, kind)]

    @property
    def text(self) -> str:
        return "".join(block.text for block in self.blocks(TextBlock))

    @property
    def results(self) -> list[str]:
        return [str(block.content) for block in self.blocks(ToolResultBlock)]


@pytest.fixture
def options(address: server.Address, tmp_path: Path) -> Options:
    """Options of an agent in a home and workspace of its own."""
    home, workspace = tmp_path / "home", tmp_path / "workspace"
    home.mkdir()
    workspace.mkdir()
    environment = {
        "CLAUDE_CODE_USE_BEDROCK": "1",
        "CLAUDE_CODE_SKIP_BEDROCK_AUTH": "1",
        "ANTHROPIC_BEDROCK_BASE_URL": address.url,
        "ANTHROPIC_DEFAULT_HAIKU_MODEL": HAIKU,
        "AWS_REGION": "us-west-2",
        "HOME": str(home),
        "CLAUDE_CONFIG_DIR": str(home / ".claude"),
        "CLAUDE_CODE_MAX_RETRIES": "1",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
        "DISABLE_TELEMETRY": "1",
        "IS_SANDBOX": "1",
    }

    def make(env: dict[str, str] | None = None, **more: Any) -> ClaudeAgentOptions:
        return ClaudeAgentOptions(
            model=MODEL,
            env=environment | (env or {}),
            cwd=workspace,
            tools=TOOLS,
            permission_mode="bypassPermissions",
            setting_sources=[],
            strict_mcp_config=True,
            max_turns=20,
            **more,
        )

    return make


@pytest.fixture
def talk(options: Options) -> Talk:
    """Ask the agent one prompt after another in one session."""

    async def ask(*prompts: str, **more: Any) -> list[Turn]:
        turns = []
        async with asyncio.timeout(60), ClaudeSDKClient(options(**more)) as agent:
            for prompt in prompts:
                await agent.query(prompt)
                turns.append(Turn([message async for message in agent.receive_response()]))
        return turns

    return ask


async def test_text_thinking_and_parallel_tools(talk: Talk, client: Client):
    (turn,) = await talk(
        '@think hm\n@text go\n@tool Bash {"command": "echo a"}\n@tool Bash {"command": "echo b"}\n@echo_results'
    )
    assert [block.thinking for block in turn.blocks(ThinkingBlock)] == ["hm"]
    assert turn.text in {"goStand-in model: a\nb", "goStand-in model: b\na"}
    assert sorted(turn.results) == ["a", "b"]
    assert turn.result.subtype == "success"
    assert not turn.result.is_error
    calls = await client.calls()
    assert [call["finished"] for call in calls] == [True, True]
    assert turn.result.usage["output_tokens"] == sum(call["output_tokens"] for call in calls)
    assert calls[1]["cache_read"] > 1000


@pytest.mark.slow
async def test_bash_writes_and_runs_a_program_over_several_steps(talk: Talk):
    write = '@tool Bash {"command": "printf %s \'print(6*7)\' > x.py"}'
    (turn,) = await talk(f'{write}\n@step\n@tool Bash {{"command": "python3 x.py"}}\n@echo_results')
    assert turn.text == "Stand-in model: 42"


@pytest.mark.slow
async def test_a_sub_agent_follows_its_own_script(talk: Talk):
    (turn,) = await talk('@agent {"prompt": "@tool Bash {\\"command\\": \\"echo deep\\"}\\n@echo_results"}\n@text back')
    assert [block.name for block in turn.blocks(ToolUseBlock)] == ["Agent", "Bash"]
    inner = [message for message in turn.messages if getattr(message, "parent_tool_use_id", None)]
    assert inner
    assert "Stand-in model: deep" in turn.results[-1]
    assert turn.text.endswith("back")


@pytest.mark.slow
async def test_the_demo_is_played_and_remembered_after_a_resume(talk: Talk):
    task, question = scenarios.demo_prompts()
    (first,) = await talk(task)
    assert [block.name for block in first.blocks(ToolUseBlock)] == ["Write", "Bash"]
    assert first.text.endswith("is 71.")
    (second,) = await talk(question, resume=first.result.session_id)
    assert second.text.startswith("Stand-in model: the largest prime that the program printed was 71")


@pytest.mark.slow
async def test_recall_across_turns_and_a_resume(talk: Talk):
    first, second = await talk("The code is quartz.", r"@recall code is (\w+)")
    assert second.text.endswith("quartz")
    (third,) = await talk(r"@recall code is (\w+)", resume=first.result.session_id)
    assert third.text.endswith("quartz")


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", ["throttling", "validation", "internal after=4", "cut after=4", "crc after=4", "empty"]
)
async def test_a_lasting_failure_is_no_success(talk: Talk, kind):
    (turn,) = await talk(f"@fail {kind}\n@text never whole")
    assert turn.result.is_error


async def test_a_passing_failure_is_survived(talk: Talk):
    (turn,) = await talk("@fail throttling times=1\n@text survived")
    assert turn.text == "survived"
    assert not turn.result.is_error


@pytest.mark.slow
async def test_side_calls_get_a_harmless_answer(talk: Talk, client: Client):
    (turn,) = await talk("@text only once", env={"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": ""})
    assert turn.text == "only once"
    sides = [recorded for recorded in await client.control("requests") if not (recorded["body"] or {}).get("tools")]
    assert any("@text only once" in str(recorded["body"]) for recorded in sides)
    assert all(call["failure"] is None for call in await client.calls())


@pytest.mark.slow
async def test_the_system_prompt_reaches_the_model(talk: Talk, client: Client):
    await talk("@text ok", system_prompt="You speak only of pelicans.")
    recorded = (await client.control("requests"))[-1]
    assert "pelicans" in str(recorded["body"]["system"])


@pytest.mark.slow
async def test_the_context_can_be_asked_without_a_failed_call(options: Options, client: Client):
    async with asyncio.timeout(60), ClaudeSDKClient(options()) as agent:
        usage = await agent.get_context_usage()
    assert usage["totalTokens"] > 0
    assert all(call["finished"] for call in await client.calls())
