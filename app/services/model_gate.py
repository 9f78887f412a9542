"""The gate that every model call passes, whoever makes it: which models are allowed, at which price, and the meter.

A call is priced at the prices in force when it is admitted, as this process knew them at most two seconds before. What
the service reports is written as one row a call, by a task of the gate's own: neither the caller who leaves nor a
database that is briefly away loses it. A call of which the service never named any usage leaves no row.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from uuid import UUID

import stamina
import structlog

from app.config import Settings
from app.database import Database, TenantId, UserId, new_id
from app.errors import AppError, Forbidden, ServiceUnavailable
from app.infrastructure.bedrock.calls import AnswerBroken, ModelRefused, ModelRequest, Operation
from app.infrastructure.bedrock.usage import Outcome, Tokens
from app.infrastructure.metrics import (
    BEDROCK_REQUESTS,
    BEDROCK_TOKENS,
    WORKSPACE_PROXY_BLOCKED,
    WORKSPACE_PROXY_REQUEST_DURATION,
)
from app.repositories.model_prices import PricedModel, Prices
from app.repositories.usage_logs import FAILURES, NewUsage, UsageLogs, may_pass
from app.services.metered_call import MeteredCall, ModelService
from app.services.price_list import PriceList

__all__ = ["AnswerBroken", "Binding", "BoundRun", "MeteredCall", "ModelGate", "ModelRefused", "Operation", "Origin"]

log = structlog.get_logger()

DRAIN_SECONDS = 10.0
"""How long an answer is read on for its usage when nobody wants its text any more."""
RECORD_SECONDS = 90.0
"""How long the database may be away before a row is given up."""


class UsageNotRecorded(ServiceUnavailable):
    """The usage of a model call could not be recorded."""


class OpenCalls:
    """The calls of one origin that are not recorded yet."""

    def __init__(self) -> None:
        self._open: set[asyncio.Future[None]] = set()
        self._lost = False

    def begin(self) -> Callable[[bool], None]:
        """Count a call as open until the returned function is told whether its usage is safe."""
        settled = asyncio.get_running_loop().create_future()
        self._open.add(settled)

        def end(safe: bool) -> None:
            self._lost = self._lost or not safe
            self._open.discard(settled)
            settled.set_result(None)

        return end

    async def idle(self) -> None:
        """Wait for every call begun so far."""
        if self._open:
            await asyncio.wait(set(self._open))

    async def settled(self) -> None:
        """As `idle`. Raises `UsageNotRecorded`, once, when a row had to be given up."""
        await self.idle()
        lost, self._lost = self._lost, False
        if lost:
            raise UsageNotRecorded


@dataclass(frozen=True, slots=True)
class Origin:
    """On whose account a call goes."""

    tenant_id: TenantId
    user_id: UserId
    conversation_id: UUID | None = None
    session_id: UUID | None = None
    run_id: UUID | None = None
    model_id: str | None = None
    """Our id of the model in use: preferred where several rows share a Bedrock id, allowed even when deprecated."""
    simple_chat_id: UUID | None = None
    calls: OpenCalls = field(default_factory=OpenCalls, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class BoundRun:
    """The run that is live in a sandbox."""

    run_id: UUID
    user_id: UserId
    model_id: str


class Binding:
    """A sandbox's standing account: its conversation, and the run live in it."""

    def __init__(self, origin: Origin) -> None:
        self._origin = origin
        self.run: BoundRun | None = None
        """Calls without a live run go on the conversation's account."""
        self.open_between_runs = True
        """Whether such calls are let through: an agent that starts may make some, one whose run is over may not."""

    @property
    def paying_origin(self) -> Origin:
        """As `origin`, for a call out of the sandbox; raises `Forbidden` when nobody pays for it."""
        if self.run is None and not self.open_between_runs:
            raise Forbidden("No run is under way.")
        return self.origin

    @property
    def origin(self) -> Origin:
        """On whose account a call that begins now goes."""
        run = self.run
        if run is None:
            return self._origin
        return replace(self._origin, run_id=run.run_id, user_id=run.user_id, model_id=run.model_id)

    async def settled(self) -> None:
        """Wait until every call begun under it is recorded. Raises `UsageNotRecorded`."""
        await self._origin.calls.settled()


@dataclass(frozen=True, slots=True)
class Grant:
    """A call that may be made, and what it costs."""

    model_id: str
    """Ours, or the service's own id for a configured model that nobody registered: such calls cost nothing here."""
    bedrock_model_id: str
    region: str
    operation: Operation
    prices: Prices

    def cost(self, tokens: Tokens) -> Decimal:
        """USD, exact."""
        prices = self.prices
        return (
            tokens.input * prices.input
            + tokens.output * prices.output
            + tokens.cache_creation_5m * prices.cache_creation_5m
            + tokens.cache_creation_1h * prices.cache_creation_1h
            + tokens.cache_read * prices.cache_read
        ) / 1000


class ModelGate:
    """Admits, calls, meters and records."""

    def __init__(self, database: Database, settings: Settings, service: ModelService) -> None:
        self._database = database
        self._service = service
        self._region = settings.models.aws_region
        self._configured = frozenset({settings.models.anthropic_sonnet_model, settings.models.anthropic_haiku_model})
        self._prices = PriceList(database)
        self._settling: set[asyncio.Task[None]] = set()

    async def admit(self, origin: Origin, bedrock_model_id: str, operation: Operation) -> Grant:
        """What that call may be made with. Raises `Forbidden` for a model that is none of ours."""
        named = [model for model in await self._prices.current() if model.bedrock_model_id == bedrock_model_id]
        model = _preferred(named, origin.model_id)
        if model is None and bedrock_model_id not in self._configured:
            log.warning("model_gate.refused", model=bedrock_model_id[:200], tenant=origin.tenant_id)
            raise Forbidden("This model is not registered.")
        model = model or next(iter(named), None)
        if model is None:
            return Grant(bedrock_model_id, bedrock_model_id, self._region, operation, Prices())
        return Grant(model.model_id, bedrock_model_id, model.region or self._region, operation, model.prices)

    @asynccontextmanager
    async def call(
        self, origin: Origin, bedrock_model_id: str, operation: Operation, body: bytes
    ) -> AsyncIterator[MeteredCall]:
        """Make a call. Leaving the block early leaves it to the gate, which reads on for a while to learn the usage.

        Raises `Forbidden`, `ModelRefused`, `ServiceUnavailable`.
        """
        grant = await self.admit(origin, bedrock_model_id, operation)
        end = origin.calls.begin()
        call = MeteredCall(self._service, ModelRequest(bedrock_model_id, grant.region, operation, body))
        try:
            await call.opened()
            yield call
        finally:
            settling = asyncio.create_task(self._settle(call, grant, origin, end))
            self._settling.add(settling)
            settling.add_done_callback(self._settling.discard)

    async def _settle(self, call: MeteredCall, grant: Grant, origin: Origin, end: Callable[[bool], None]) -> None:
        safe = False
        try:
            status = await _read_to_the_end(call)
            reading = call.reading
            BEDROCK_REQUESTS.labels(grant.bedrock_model_id, status).inc()
            tokens = reading.tokens
            if status == "cancelled" and not tokens.total:
                tokens = Tokens(input=call.estimated_input)
            safe = await self.record(grant, origin, tokens, reading.outcome)
        finally:
            end(safe)

    async def record(self, grant: Grant, origin: Origin, tokens: Tokens, outcome: Outcome) -> bool:
        """Write a call's row, if it used anything; false when it had to be given up."""
        if not tokens.total:
            return True
        _count(grant.bedrock_model_id, tokens)
        usage = _usage(grant, origin, tokens, outcome)
        try:
            async for attempt in stamina.retry_context(
                on=may_pass, attempts=None, timeout=RECORD_SECONDS, wait_initial=0.05, wait_max=2.0
            ):
                with attempt:
                    await self._write(origin.tenant_id, usage)
        except FAILURES:
            log.exception("usage.not_recorded", tenant=origin.tenant_id, usage=usage)
            return False
        return True

    async def _write(self, tenant_id: TenantId, usage: NewUsage) -> None:
        async with self._database.tenant(tenant_id) as session:
            await UsageLogs(session, tenant_id).add(usage)

    def models_changed(self) -> None:
        """Have the next call look at the models anew."""
        self._prices.forget()

    def served(self, method: str, seconds: float) -> None:
        """A sandbox's request was let through and took that long."""
        WORKSPACE_PROXY_REQUEST_DURATION.labels(method).observe(seconds)

    def blocked(self) -> None:
        """A sandbox's request was refused."""
        WORKSPACE_PROXY_BLOCKED.inc()

    async def close(self, grace: float) -> None:
        """Wait that long for rows that are not written yet, then stop."""
        self._prices.close()
        if self._settling:
            _, late = await asyncio.wait(self._settling, timeout=grace)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)


def _preferred(named: list[PricedModel], model_id: str | None) -> PricedModel | None:
    """The caller's own model, else the first active one."""
    own = next((model for model in named if model.model_id == model_id), None)
    return own or next((model for model in named if model.active), None)


async def _read_to_the_end(call: MeteredCall) -> str:
    """Read what is left of an answer and hang up; returns the metric's word for how it went."""
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            await call.exhaust()
    except ModelRefused as refused:
        return "throttled" if refused.refused_with == 429 else "error"
    except TimeoutError:
        return "cancelled"
    except AppError:
        return "error"
    finally:
        call.close()
    return "success" if call.reading.outcome == "completed" else "error"


def _count(bedrock_model_id: str, tokens: Tokens) -> None:
    for kind in ("input", "output", "cache_creation_5m", "cache_creation_1h", "cache_read"):
        BEDROCK_TOKENS.labels(bedrock_model_id, kind).inc(getattr(tokens, kind))


def _usage(grant: Grant, origin: Origin, tokens: Tokens, outcome: Outcome) -> NewUsage:
    return NewUsage(
        usage_log_id=new_id(),
        user_id=origin.user_id,
        model_id=grant.model_id,
        bedrock_model_id=grant.bedrock_model_id,
        operation=grant.operation,
        status=outcome,
        session_id=origin.session_id,
        conversation_id=origin.conversation_id,
        run_id=origin.run_id,
        simple_chat_id=origin.simple_chat_id,
        input_tokens=tokens.input,
        output_tokens=tokens.output,
        cache_creation_5m_tokens=tokens.cache_creation_5m,
        cache_creation_1h_tokens=tokens.cache_creation_1h,
        cache_read_tokens=tokens.cache_read,
        cost_usd=grant.cost(tokens),
    )
