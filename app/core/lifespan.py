"""What runs, opened in straight columns and closed by them: the outside world first, then the engine upon it."""

import gc
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import structlog
from fastapi import FastAPI
from starlette.types import Lifespan

from app import VERSION
from app.config import Settings
from app.core import background, providers
from app.core.addresses import addresses
from app.core.background import every
from app.core.logging import configure_logging, secret_values
from app.core.migrations import check_schema
from app.database import Database, open_database
from app.gateway.server import Gateway
from app.infrastructure.bedrock.client import open_bedrock
from app.infrastructure.gateway_sockets import listen
from app.infrastructure.objects import open_objects
from app.infrastructure.redis import RedisBell, open_redis
from app.infrastructure.sandboxes.contract import SandboxProvider
from app.services.container.orchestrator import Orchestrator
from app.services.container.starter import Grounds, Starter
from app.services.execute_service import ExecuteService
from app.services.execution.describe import Describer
from app.services.execution.event_writer import EventWriter
from app.services.execution.leases import Leases
from app.services.execution.live_run import Workshop
from app.services.execution.wakeups import Wakeups
from app.services.health_service import HealthService, Probes
from app.services.idempotency import forget_old
from app.services.model_gate import ModelGate
from app.services.runtime import Runtime
from app.services.title_service import TitleService

log = structlog.get_logger()

RECORD_GRACE = 5.0
IDLE_ROUND = 30.0
PURGE_ROUND = 3600.0


@dataclass(frozen=True, slots=True)
class World:
    """What the engine stands on."""

    owner: str
    """Names this replica."""
    database: Database
    bell: RedisBell
    gate: ModelGate
    provider: SandboxProvider


@asynccontextmanager
async def world(settings: Settings) -> AsyncIterator[World]:
    """The outside world."""
    owner = f"{socket.gethostname()[:40]}-{secrets.token_hex(4)}"
    size, timeout = settings.database.database_pool_size, settings.database.database_timeout
    async with AsyncExitStack() as opened:
        where = await opened.enter_async_context(addresses(settings))
        await check_schema(where.database)
        database = await opened.enter_async_context(open_database(where.database, pool_size=size, timeout=timeout))
        bell = await opened.enter_async_context(open_redis(where.redis, settings.redis.redis_password))
        bedrock = await opened.enter_async_context(open_bedrock(settings.models))
        gate = ModelGate(database, settings, bedrock)
        opened.push_async_callback(gate.close, RECORD_GRACE)
        provider = await opened.enter_async_context(providers.open_sandboxes(settings, owner))
        yield World(owner, database, bell, gate, provider)


@asynccontextmanager
async def engine(settings: Settings, on: World) -> AsyncIterator[Runtime]:
    """The sandboxes' policy, the runs and their loops."""
    grounds = Grounds(
        workspaces=settings.server.data_dir / "workspaces",
        limits=providers.limits(settings),
        owner=on.owner,
        start_timeout=settings.sandboxes.sandbox_start_timeout,
    )
    starter = Starter(on.provider, Gateway(on.gate, listen), on.database, grounds)
    sandboxes = Orchestrator(starter, Describer(on.database, settings), settings.sandboxes)
    wakeups, writer = Wakeups(on.bell), EventWriter(on.database)
    titles = TitleService(on.gate, settings.models.anthropic_haiku_model)
    workshop = Workshop(settings, on.database, sandboxes, titles.title_for)
    execution = ExecuteService(workshop, writer, wakeups, on.owner)
    leases = Leases(on.database, lambda: execution.live, wakeups, settings.runs, on.owner)
    loops: background.Loops = {
        "event writer": writer.run,
        "wake-up sender": wakeups.send,
        "wake-up listener": wakeups.listen,
        "lease renewal": leases.renew_for_ever,
        "lease sweep": leases.sweep_for_ever,
        "idle sandboxes": every(IDLE_ROUND, sandboxes.end_idle),
        "old idempotency keys": every(PURGE_ROUND, lambda: forget_old(on.database)),
    }
    async with AsyncExitStack() as opened:
        opened.push_async_callback(sandboxes.close)
        await opened.enter_async_context(background.running(loops))
        opened.push_async_callback(execution.close)
        opened.push_async_callback(execution.drain)
        yield Runtime(settings, on.database, execution, sandboxes, _health(settings, on, sandboxes, execution))


def _health(settings: Settings, on: World, sandboxes: Orchestrator, execution: ExecuteService) -> HealthService:
    objects = open_objects(settings.objects, settings.models, settings.server.data_dir / "objects")
    probes = Probes(
        database=on.database.ping,
        redis=on.bell.ping,
        s3=objects.ping,
        containers=sandboxes.check,
        container_counts=lambda: sandboxes.counts,
    )
    return HealthService(
        probes, version=VERSION, environment=settings.server.app_env, draining=execution.draining.is_set
    )


def lifespan(settings: Settings) -> Lifespan[FastAPI]:
    """The application's lifespan."""

    @asynccontextmanager
    async def live(app: FastAPI) -> AsyncIterator[None]:
        configure_logging(settings.server.log_level, secret_values(settings))
        async with world(settings) as outside, engine(settings, outside) as runtime:
            app.state.runtime = runtime
            gc.collect()
            gc.freeze()  # what is there now stays: no later collection need look at it
            log.info("server.ready", owner=outside.owner)
            yield

    return live
