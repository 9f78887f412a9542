"""One conversation's place to work: its sandbox, its door to the gateway and its agent."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from uuid import UUID

from app.database import TenantId
from app.infrastructure.sandboxes.contract import Exit, Sandbox
from app.services.container.agent import Agent
from app.services.model_gate import Binding

Key = tuple[TenantId, UUID]


class Door(Protocol):
    """A gateway's socket for one sandbox."""

    async def close(self) -> None: ...


class Doors(Protocol):
    """Opens the gateway to sandboxes; implemented above the services."""

    async def open(self, folder: Path, binding: Binding, peer_uid: int) -> Door: ...


@dataclass(slots=True)
class Place:
    """Everything of one conversation that lives in this process."""

    key: Key
    sandbox: Sandbox
    door: Door
    binding: Binding
    agent: Agent
    receiving: asyncio.Task[None]
    """Runs the agent's end of the control socket."""
    used_at: float
    """Monotonic time of the last use."""
    busy: bool = False
    used: bool = False
    """Whether a message ever reached it; before that it is only pre-warmed."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def alive(self) -> bool:
        """Whether its agent still listens."""
        return not self.receiving.done()

    async def cut_off(self) -> None:
        """Close the way out first, then the control socket."""
        await self.door.close()
        await self.agent.close()
        self.receiving.cancel()
        await asyncio.wait([self.receiving])

    async def autopsy(self, timeout: float) -> Exit | None:
        """How the sandbox ended, or none when it still lives after that time."""
        try:
            return await asyncio.wait_for(asyncio.shield(asyncio.ensure_future(self.sandbox.ended())), timeout)
        except TimeoutError:
            return None
