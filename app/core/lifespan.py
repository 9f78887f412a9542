"""What runs, opened in one straight column and closed by it."""

import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

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


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Runtime]:
    """The whole program but its HTTP server."""
    owner = f"{socket.gethostname()[:40]}-{secrets.token_hex(4)}"
    async with AsyncExitStack() as opened:
        where = await opened.enter_async_context(addresses(settings))
        database = await opened.enter_async_context(
            open_database(
                where.database,
                pool_size=settings.database.database_pool_size,
                timeout=settings.database.database_timeout,
            )
        )
        await check_schema(where.database)
        password = settings.redis.redis_password
        bell = await opened.enter_async_context(
            open_redis(where.redis, password.get_secret_value() if password else None)
        )
        bedrock = await opened.enter_async_context(open_bedrock(settings.models))
        gate = ModelGate(database, settings, bedrock)
        opened.push_async_callback(gate.close, RECORD_GRACE)
        provider = await opened.enter_async_context(providers.open_sandboxes(settings, owner))
        grounds = Grounds(
            workspaces=settings.server.data_dir / "workspaces",
            limits=providers.limits(settings),
            owner=owner,
            start_timeout=settings.sandboxes.sandbox_start_timeout,
        )
        starter = Starter(provider, Gateway(gate, listen), database, grounds)
        sandboxes = Orchestrator(starter, Describer(database, settings), settings.sandboxes)
        opened.push_async_callback(sandboxes.close)
        wakeups, writer = Wakeups(bell), EventWriter(database)
        workshop = Workshop(
            settings, database, sandboxes, TitleService(gate, settings.models.anthropic_haiku_model).title_for
        )
        execution = ExecuteService(workshop, writer, wakeups, owner)
        leases = Leases(database, lambda: execution.live, wakeups, settings.runs, owner)
        loops: background.Loops = {
            "event writer": writer.run,
            "wake-up sender": wakeups.send,
            "wake-up listener": wakeups.listen,
            "lease renewal": leases.renew_for_ever,
            "lease sweep": leases.sweep_for_ever,
            "idle sandboxes": every(IDLE_ROUND, sandboxes.end_idle),
            "old idempotency keys": every(PURGE_ROUND, lambda: forget_old(database)),
        }
        await opened.enter_async_context(background.running(loops))
        opened.push_async_callback(execution.close)
        opened.push_async_callback(execution.drain)
        health = _health(settings, database, bell, sandboxes, execution)
        log.info("server.ready", owner=owner)
        yield Runtime(settings, database, execution, sandboxes, health)


def _health(
    settings: Settings, database: Database, bell: RedisBell, sandboxes: Orchestrator, execution: ExecuteService
) -> HealthService:
    objects = open_objects(settings.objects, settings.models, settings.server.data_dir / "objects")
    probes = Probes(
        database=database.ping,
        redis=bell.ping,
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
        async with running(settings) as runtime:
            app.state.runtime = runtime
            yield

    return live
