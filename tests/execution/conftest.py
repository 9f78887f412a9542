"""An engine: everything of runs but the HTTP server, the model service and the sandboxes' insides."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import orjson
import pytest

from app.config import Runs, Sandboxes, Settings
from app.core import background
from app.database import Database, TenantId, new_id
from app.infrastructure.sandboxes.contract import Limits
from app.models import Conversation, Model, Tenant
from app.schemas.events import Recorded
from app.schemas.runs import RunRequest
from app.services.callers import Caller
from app.services.container.orchestrator import Orchestrator
from app.services.container.starter import Grounds, Starter
from app.services.execute_service import Begun, ExecuteService
from app.services.execution.admit import Application
from app.services.execution.describe import Describer
from app.services.execution.event_writer import EventWriter
from app.services.execution.leases import Leases
from app.services.execution.live_run import Workshop
from app.services.execution.wakeups import Wakeups
from app.services.idempotency import KeyedRequest
from app.services.model_gate import Binding, Origin
from tests.execution.scripted import ScriptedSandboxes

ACME = TenantId("acme")


class SilentBell:
    """A channel that nobody else is on."""

    async def ring(self, words: list[str]) -> None:
        del words

    async def next(self, timeout: float) -> str | None:
        await asyncio.sleep(timeout)
        return None


class ClosedDoors:
    """A gateway that nothing comes through."""

    async def open(self, folder: Path, binding: Binding, peer_uid: int) -> "ClosedDoors":
        del folder, binding, peer_uid
        return self

    async def close(self) -> None:
        pass


@dataclass
class Engine:
    """One replica."""

    settings: Settings
    database: Database
    provider: ScriptedSandboxes
    execution: ExecuteService
    sandboxes: Orchestrator
    leases: Leases
    writer: EventWriter
    titles: list[str] = field(default_factory=list)

    async def conversation(self, **fields: object) -> UUID:
        conversation_id = new_id()
        async with self.database.tenant(ACME) as session:
            values = {"tenant_id": ACME, "conversation_id": conversation_id, "user_id": "ann", "model_id": "sonnet"}
            session.add(Conversation(**values | fields))
        return conversation_id

    def asked(
        self, conversation_id: UUID, text: str = "hello", key: str | None = None, **fields: object
    ) -> Application:
        executor = {"user_id": "ann", "name": "Ann", "email": "ann@acme.example"}
        request = RunRequest.model_validate({"user_input": text, "executor": executor} | fields)
        keyed = KeyedRequest(key, text) if key else None
        return Application(Caller("key"), ACME, conversation_id, request, keyed)

    async def start(self, conversation_id: UUID, text: str = "hello", **fields: object) -> Begun:
        return await self.execution.start(self.asked(conversation_id, text, **fields))

    async def events(self, run_id: UUID, after: int = 0) -> list[Recorded]:
        """Follow to the end."""
        async with asyncio.timeout(20):
            return [event async for batch in self.execution.follow(ACME, run_id, after) for event in batch]

    async def run(self, conversation_id: UUID, text: str = "hello", **fields: object) -> list[Recorded]:
        return await self.events((await self.start(conversation_id, text, **fields)).run_id)

    async def until_seen(self, run_id: UUID, kind: str) -> Recorded:
        """Follow until an event of that type."""
        async with asyncio.timeout(20):
            async for batch in self.execution.follow(ACME, run_id, 0):
                for event in batch:
                    if event.type == kind:
                        return event
        raise AssertionError(f"no {kind}")


async def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Wait until something holds that nobody signals."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 -- see above
            await asyncio.sleep(0.005)


def data(event: Recorded) -> dict[str, object]:
    return orjson.loads(event.data)


def kinds(events: list[Recorded]) -> list[str]:
    return [event.type for event in events]


async def _add_rows(database: Database) -> None:
    prices = {"input_token_price": Decimal("0.003"), "output_token_price": Decimal("0.015")}
    async with database.platform() as session:
        for name, status in (("sonnet", "active"), ("old", "deprecated")):
            session.add(
                Model(
                    model_id=name,
                    display_name=name,
                    bedrock_model_id=f"vendor.{name}",
                    context_window=10_000,
                    max_output_tokens=1000,
                    status=status,
                    **prices,
                )
            )
        await session.flush()
        session.add(Tenant(tenant_id=ACME, model_id="sonnet", system_prompt="Be brief."))


@asynccontextmanager
async def replica(database: Database, folder: Path, *, sandbox_max: int = 32, **runs: float) -> AsyncIterator[Engine]:
    """A replica on that database."""
    settings = Settings(
        runs=Runs(**{"lease_renewal_seconds": 0.2, "lease_seconds": 2.0, "ping_seconds": 0.2} | runs),
        sandboxes=Sandboxes(sandbox_max=sandbox_max, sandbox_prewarm_max=2),
    )
    provider = ScriptedSandboxes(folder)
    titles: list[str] = []

    async def make_title(origin: Origin, text: str, deadline: float) -> str | None:
        del origin, deadline
        titles.append(text)
        return f"About {text}"

    grounds = Grounds(folder / "workspaces", Limits(), "owner", 5.0)
    starter = Starter(provider, ClosedDoors(), database, grounds)
    sandboxes = Orchestrator(starter, Describer(database, settings), settings.sandboxes)
    wakeups, writer = Wakeups(SilentBell()), EventWriter(database)
    workshop = Workshop(settings, database, sandboxes, make_title)
    execution = ExecuteService(workshop, writer, wakeups, folder.name)
    leases = Leases(database, lambda: execution.live, wakeups, settings.runs, folder.name)
    engine = Engine(settings, database, provider, execution, sandboxes, leases, writer, titles)
    loops = {"writer": writer.run, "listener": wakeups.listen, "leases": leases.renew_for_ever}
    async with background.running(loops):
        try:
            yield engine
        finally:
            await execution.close()
            await sandboxes.close()


@pytest.fixture
async def engine(database: Database, tmp_path: Path) -> AsyncIterator[Engine]:
    await _add_rows(database)
    async with replica(database, tmp_path / "one") as made:
        yield made
