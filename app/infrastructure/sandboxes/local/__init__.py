"""The local provider: sandboxes by bubblewrap on the machine the backend runs on."""

from app.infrastructure.sandboxes.local.config import LocalConfig
from app.infrastructure.sandboxes.local.provider import LocalSandboxes, open_local

__all__ = ["LocalConfig", "LocalSandboxes", "open_local"]
