"""The SDK's options for a conversation: what the CLI may do, and the one way out it knows."""

from typing import cast

from claude_agent_sdk import ClaudeAgentOptions, SessionStore
from claude_agent_sdk.types import SystemPromptPreset

from runner.config import Config
from runner.protocol import AgentOptions
from runner.store import RelayedStore

LONGEST_MESSAGE = 64 * 1024 * 1024
"""Bytes of one message of the CLI; a file it has read travels twice in one."""

_ALWAYS = {
    "CLAUDE_CODE_USE_BEDROCK": "1",
    "CLAUDE_CODE_SKIP_BEDROCK_AUTH": "1",
    "AWS_REGION": "us-east-1",  # must be set; the gateway alone knows the region
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_TELEMETRY": "1",
    "IS_SANDBOX": "1",
    "CLAUDE_CODE_DISABLE_BUNDLED_SKILLS": "1",
    # Memory files would live and die with the sandbox while the prompt promises otherwise.
    "CLAUDE_CODE_DISABLE_AUTO_MEMORY": "1",
    # A sub-agent or shell in the background outlives its turn and starts another one unasked.
    "CLAUDE_CODE_DISABLE_BACKGROUND_TASKS": "1",
    # Text that mentions @a/path is the user's text: the model may read the file, the CLI must not paste it in.
    "CLAUDE_CODE_DISABLE_FILE_MENTIONS": "1",
    # A stream that broke would be replaced silently by a second, unstreamed answer.
    "CLAUDE_CODE_DISABLE_NONSTREAMING_FALLBACK": "1",
}


def sdk_options(options: AgentOptions, config: Config, relay_port: int, store: RelayedStore) -> ClaudeAgentOptions:
    tools = list(options.tools)
    return ClaudeAgentOptions(
        tools=tools,
        # Listed tools run unasked in every mode; in any mode but this one the CLI decides, and nobody answers it.
        allowed_tools=tools if options.permission_mode == "bypassPermissions" else [],
        mcp_servers={},
        strict_mcp_config=True,
        setting_sources=[],
        max_turns=options.max_turns,
        permission_mode=options.permission_mode,
        include_partial_messages=True,
        forward_subagent_text=True,
        system_prompt=_system_prompt(options.system_prompt),
        model=options.model,
        session_id=None if options.resume else options.session_id,
        resume=options.session_id if options.resume else None,
        session_store=cast("SessionStore", store),  # what it lacks is optional
        session_store_flush="eager",
        cwd=config.workspace,
        env=environment(options, config, relay_port),
        effort=options.effort,
        output_format=options.output_format,
        max_buffer_size=LONGEST_MESSAGE,
        cli_path=config.cli_path,
    )


def environment(options: AgentOptions, config: Config, relay_port: int) -> dict[str, str]:
    """What the CLI is told besides the runner's own environment; every name it may call a model by is one of two."""
    return {
        **_ALWAYS,
        "ANTHROPIC_BEDROCK_BASE_URL": f"http://127.0.0.1:{relay_port}",
        "CLAUDE_CONFIG_DIR": str(config.home / ".claude"),
        "ANTHROPIC_MODEL": options.model,
        "ANTHROPIC_DEFAULT_OPUS_MODEL": options.model,
        "ANTHROPIC_DEFAULT_SONNET_MODEL": options.model,
        "ANTHROPIC_DEFAULT_FABLE_MODEL": options.model,
        "ANTHROPIC_DEFAULT_HAIKU_MODEL": options.small_model,
        "ANTHROPIC_SMALL_FAST_MODEL": options.small_model,
        "CLAUDE_CODE_SUBAGENT_MODEL": options.small_model,
    }


def _system_prompt(append: str | None) -> SystemPromptPreset:
    preset = {"type": "preset", "preset": "claude_code", "snapshot": False}  # so that an edited prompt takes effect
    return cast("SystemPromptPreset", preset | {"append": append} if append else preset)
