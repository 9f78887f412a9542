"""Makes one conversation's place: sandbox, door, control socket, agent, in that order, or nothing at all."""

import asyncio
import secrets
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import structlog

from app.database import Database, TenantId, UserId
from app.infrastructure.runner_link import connect
from app.infrastructure.sandboxes.contract import Limits, SandboxId, SandboxProvider, SandboxSpec
from app.infrastructure.sandboxes.trees import remove_tree
from app.services.agent_plan import Plan
from app.services.container.agent import Agent
from app.services.container.place import Doors, Key, Place
from app.services.model_gate import Binding, Origin
from app.services.transcript_service import Transcripts

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Grounds:
    """Where and how large places are."""

    workspaces: Path
    limits: Limits
    owner: str
    start_timeout: float


class Starter:
    """Starts and ends places; decides nothing."""

    def __init__(self, provider: SandboxProvider, doors: Doors, database: Database, grounds: Grounds) -> None:
        self._provider = provider
        self._doors = doors
        self._database = database
        self._grounds = grounds

    async def start(self, plan: Plan) -> Place:
        """A place whose runner answers; its agent is not opened yet."""
        begun = time.monotonic()
        key = (plan.tenant_id, plan.conversation_id)
        async with AsyncExitStack() as undo:
            sandbox = await self._provider.create(await self._spec(plan))
            undo.push_async_callback(self._provider.destroy, sandbox.sandbox_id)
            binding = Binding(_origin(plan))
            door = await self._doors.open(sandbox.gateway_folder, binding, sandbox.peer_uid)
            undo.push_async_callback(door.close)
            link = await connect(sandbox.control_folder, after=0, timeout=self._grounds.start_timeout)
            undo.pop_all()
        agent = Agent(link, Transcripts(self._database, plan.tenant_id, plan.conversation_id))
        agent.fence = plan.fence
        receiving = asyncio.create_task(agent.run(), name=f"agent {plan.conversation_id}")
        log.info(
            "sandbox.started",
            sandbox=sandbox.sandbox_id,
            seconds=round(time.monotonic() - begun, 3),
            unenforced=sandbox.unenforced,
        )
        return Place(key, sandbox, door, binding, agent, receiving, used_at=time.monotonic())

    async def _spec(self, plan: Plan) -> SandboxSpec:
        return SandboxSpec(
            sandbox_id=SandboxId(secrets.token_hex(8)),
            workspace=await asyncio.to_thread(self._workspace, plan) if plan.workspace_enabled else None,
            limits=self._grounds.limits,
            labels={"owner": self._grounds.owner},
        )

    def _workspace(self, plan: Plan) -> Path:
        folder = self.workspace(plan.tenant_id, plan.conversation_id)
        self._grounds.workspaces.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._grounds.workspaces.chmod(0o700)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder

    def workspace(self, tenant_id: TenantId, conversation_id: UUID) -> Path:
        """The host folder of a conversation's files; named by ids alone, so that tenants cannot meet in it."""
        return self._grounds.workspaces / tenant_id.encode().hex() / conversation_id.hex

    async def end(self, place: Place) -> None:
        """End everything of a place but its files."""
        try:
            await place.cut_off()
        finally:
            await self._provider.destroy(place.sandbox.sandbox_id)
        ended = await place.sandbox.ended()
        log.info("sandbox.ended", sandbox=place.sandbox.sandbox_id, reason=ended.reason, log_tail=ended.log_tail)

    async def forget(self, key: Key) -> None:
        """Remove a conversation's files."""
        await asyncio.to_thread(remove_tree, self.workspace(*key))


def _origin(plan: Plan) -> Origin:
    return Origin(
        tenant_id=plan.tenant_id,
        user_id=UserId(plan.user_id),
        conversation_id=plan.conversation_id,
        session_id=plan.session_id,
        model_id=plan.model.model_id,
    )
