"""One conversation's place to work: its sandbox, its door to the gateway and its agent."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from uuid import UUID

from app.database import TenantId
from app.infrastructure.sandboxes.contract import Exit, Sandbox
from app.services.container.agent import Agent
from app.services.model_gate import Binding, BoundRun

Key = tuple[TenantId, UUID]

SETTLE_SECONDS = 5.0
"""How long the calls of an ended turn may go on before they are cut off."""


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
    ended: bool = False
    clean: bool = True
    """False from the begin of a turn until the agent said that it is over."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def alive(self) -> bool:
        """Whether its agent still listens."""
        return not self.receiving.done()

    def begin_turn(self, run: BoundRun, fence: int) -> None:
        """From now on what leaves the sandbox is that run's."""
        self.clean = False
        self.binding.run = run
        self.agent.fence = fence

    async def end_turn(self, run: BoundRun) -> None:
        """Wait until every model call of the turn is in the ledger; nobody pays for later ones: none pass."""
        self.binding.open_between_runs = False
        try:
            await self._settled()
        finally:
            if self.binding.run is run:
                self.binding.run = None

    async def _settled(self) -> None:
        if self.clean:
            with suppress(TimeoutError):
                async with asyncio.timeout(SETTLE_SECONDS):
                    return await self.binding.settled()
        self.clean = False
        await self.door.close()
        return await self.binding.settled()

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
