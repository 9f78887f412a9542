"""Keeps the `mcp` package out of the process: the SDK imports it, the runner never uses it.

It is most of the SDK's import: without it the import takes a quarter of the time and the process half the memory, which
is paid in every sandbox. MCP servers are spoken to by the CLI itself; only servers inside this process would need it.
"""

import sys
from types import ModuleType

from pydantic import BaseModel

_ABSENT = ("mcp", "mcp.types", "mcp.server", "mcp.shared", "mcp.shared.message", "mcp.shared.memory")
_PROBED = frozenset({"jsonrpc_message_adapter"})
"""Names the SDK looks for to tell versions apart: they must stay missing."""


class _Absent(ModuleType):
    """A module whose every name is an empty model class."""

    def __getattr__(self, name: str) -> type[BaseModel]:
        if name.startswith("__") or name in _PROBED:
            raise AttributeError(name)
        placeholder = type(name, (BaseModel,), {})
        setattr(self, name, placeholder)
        return placeholder


def leave_out_mcp() -> None:
    """Must come before the first import of the SDK."""
    for name in _ABSENT:
        module = sys.modules[name] = _Absent(name)
        module.__path__ = []
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, module)
