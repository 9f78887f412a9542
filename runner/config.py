"""What the sandbox provider tells the runner, and the environment the runner leaves for what it starts."""

from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path

from runner.protocol import CONTROL_SOCKET, GATEWAY_SOCKET

CAPACITY = 32 * 1024 * 1024
_OWN_PREFIXES = ("RUNNER_", "PYTHONPATH", "PYTHONHOME", "CLAUDE", "ANTHROPIC_", "AWS_")


@dataclass(frozen=True, slots=True)
class Config:
    """The runner's surroundings, from the environment variables named in brackets."""

    control_socket: Path
    """Where the runner listens, in a folder it may write to (RUNNER_CONTROL_DIR)."""
    gateway_socket: Path
    """Where the backend's gateway listens (RUNNER_GATEWAY_DIR)."""
    workspace: Path
    """The agent's working folder (RUNNER_WORKSPACE)."""
    home: Path
    """A writable folder for the CLI's own files (HOME)."""
    cli_path: Path | None
    """The Claude Code program; none: the one that comes with the SDK (RUNNER_CLI_PATH)."""
    buffer_bytes: int = CAPACITY
    """Unacknowledged frames beyond which the agent has to wait (RUNNER_BUFFER_BYTES)."""

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> "Config":
        """Raises `KeyError` with the name of a variable that is missing."""
        cli_path = environment.get("RUNNER_CLI_PATH")
        return cls(
            control_socket=Path(environment["RUNNER_CONTROL_DIR"], CONTROL_SOCKET),
            gateway_socket=Path(environment["RUNNER_GATEWAY_DIR"], GATEWAY_SOCKET),
            workspace=Path(environment["RUNNER_WORKSPACE"]),
            home=Path(environment["HOME"]),
            cli_path=Path(cli_path) if cli_path else None,
            buffer_bytes=int(environment.get("RUNNER_BUFFER_BYTES", CAPACITY)),
        )


def clear_own(environment: MutableMapping[str, str]) -> None:
    """Remove what is meant for the runner alone, because the CLI and its tools inherit the rest."""
    for name in [name for name in environment if name.startswith(_OWN_PREFIXES)]:
        del environment[name]
