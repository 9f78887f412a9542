"""What the CLI is started with."""

import asyncio
from pathlib import Path

import pytest

from runner.config import Config, clear_own
from runner.options import environment, sdk_options
from runner.outbox import Outbox
from runner.store import RelayedStore
from tests.runner.conftest import MODEL, SMALL_MODEL, options

CONFIG = Config(Path("/c/control.sock"), Path("/g/gateway.sock"), Path("/workspace"), Path("/home/agent"), None)


async def test_only_the_named_tools_exist_and_nothing_is_read_from_the_workspace() -> None:
    made = sdk_options(options(tools=("Bash", "Read")), CONFIG, 4321, RelayedStore(Outbox()))

    assert made.tools == made.allowed_tools == ["Bash", "Read"]
    assert made.setting_sources == []
    assert made.strict_mcp_config
    assert made.mcp_servers == {}
    assert made.max_turns == 100
    assert made.cwd == Path("/workspace")


@pytest.mark.parametrize("mode", ["default", "acceptEdits", "plan", "dontAsk"])
async def test_only_where_nothing_is_asked_do_tools_run_unasked(mode: str) -> None:
    made = sdk_options(options(tools=("Bash",), permission_mode=mode), CONFIG, 4321, RelayedStore(Outbox()))
    assert (made.tools, made.allowed_tools) == (["Bash"], [])


async def test_a_new_session_gets_its_id_and_a_stored_one_is_resumed() -> None:
    store = RelayedStore(Outbox())
    new = sdk_options(options("1c9e1f0a-0000-4000-8000-000000000000"), CONFIG, 1, store)
    stored = sdk_options(options("1c9e1f0a-0000-4000-8000-000000000000", resume=True), CONFIG, 1, store)

    assert (new.session_id, new.resume) == ("1c9e1f0a-0000-4000-8000-000000000000", None)
    assert (stored.session_id, stored.resume) == (None, "1c9e1f0a-0000-4000-8000-000000000000")


async def test_the_tenants_prompt_is_appended_and_an_edited_one_takes_effect() -> None:
    store = RelayedStore(Outbox())
    with_prompt = sdk_options(options(system_prompt="Be brief."), CONFIG, 1, store).system_prompt
    without = sdk_options(options(), CONFIG, 1, store).system_prompt

    assert with_prompt == {"type": "preset", "preset": "claude_code", "snapshot": False, "append": "Be brief."}
    assert without == {"type": "preset", "preset": "claude_code", "snapshot": False}


def test_every_name_for_a_model_is_one_of_the_two_allowed() -> None:
    found = environment(options(), CONFIG, 4321)

    models = {name: value for name, value in found.items() if name.endswith("_MODEL")}
    assert set(models.values()) == {MODEL, SMALL_MODEL}
    assert models["CLAUDE_CODE_SUBAGENT_MODEL"] == models["ANTHROPIC_DEFAULT_HAIKU_MODEL"] == SMALL_MODEL
    assert found["ANTHROPIC_BEDROCK_BASE_URL"] == "http://127.0.0.1:4321"
    assert found["CLAUDE_CONFIG_DIR"] == "/home/agent/.claude"


def test_what_is_meant_for_the_runner_alone_is_not_passed_on() -> None:
    variables = {
        "PATH": "/bin",
        "HOME": "/h",
        "PIP_INDEX_URL": "x",
        "RUNNER_CONTROL_DIR": "/c",
        "PYTHONPATH": "/p",
        "AWS_SECRET_ACCESS_KEY": "s",
        "CLAUDECODE": "1",
    }
    clear_own(variables)

    assert variables == {"PATH": "/bin", "HOME": "/h", "PIP_INDEX_URL": "x"}


def test_a_missing_variable_is_named() -> None:
    with pytest.raises(KeyError, match="RUNNER_GATEWAY_DIR"):
        Config.read({"RUNNER_CONTROL_DIR": "/c", "RUNNER_WORKSPACE": "/w", "HOME": "/h"})


async def test_without_its_variables_the_program_says_so_and_ends(python: str) -> None:
    process = await asyncio.create_subprocess_exec(
        python, "-m", "runner", env={}, stderr=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    _, said = await process.communicate()

    assert process.returncode == 2
    assert b"RUNNER_CONTROL_DIR" in said


async def test_the_sdk_is_loaded_without_the_mcp_package(python: str) -> None:
    program = (
        "from runner.lean import leave_out_mcp; leave_out_mcp(); import runner.program, sys; "
        "print(sorted(name for name in sys.modules if name.partition('.')[0] in {'mcp', 'starlette', 'uvicorn'}))"
    )
    process = await asyncio.create_subprocess_exec(
        python, "-c", program, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    told, _ = await process.communicate()

    expected = ["mcp", "mcp.server", "mcp.shared", "mcp.shared.memory", "mcp.shared.message", "mcp.types"]
    assert told.decode().strip() == str(expected)
