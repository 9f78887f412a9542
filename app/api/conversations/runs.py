"""The routes of runs: begin, follow, read and cancel."""

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response

from app.api.answers import IdempotencyKey, Responses, errors, fingerprinted
from app.api.conversations.event_stream import EventStream
from app.api.conversations.run_requests import Submitted
from app.api.dependencies import PathConversation, PathTenant, Reading, Running, TenantUser, known_uuid
from app.database import TenantId
from app.schemas import runs as schemas
from app.services import run_service
from app.services.execute_service import Begun
from app.services.execution.admit import Application
from app.services.run_service import Followed, RunPath
from app.services.runtime import Runtime

router = APIRouter(
    prefix="/api/tenants/{tenant_id}/conversations/{conversation_id}",
    tags=["runs"],
    responses=errors(401, 403, 404, 422),
)

STREAM: Responses = {
    200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}, "description": "The run's events."}
}


async def _application(
    request: Request,
    tenant_id: PathTenant,
    conversation_id: PathConversation,
    caller: TenantUser,
    body: Submitted,
    idempotency_key: IdempotencyKey = None,
) -> Application:
    keyed = await fingerprinted(request, caller, idempotency_key, body.content)
    return Application(caller, tenant_id, conversation_id, body.request, keyed, body.files, body.held)


def _run_path(
    caller: TenantUser,
    tenant_id: PathTenant,
    conversation_id: PathConversation,
    run_id: Annotated[str, Path(json_schema_extra={"format": "uuid"})],
) -> RunPath:
    return RunPath(caller, tenant_id, conversation_id, known_uuid(run_id))


Asked = Annotated[Application, Depends(_application)]
ThisRun = Annotated[RunPath, Depends(_run_path)]


async def _followed(
    path: ThisRun,
    session: Reading,
    after: Annotated[str | None, Query(description="Number of the last event already seen; 0 for all.")] = None,
    last_event_id: Annotated[str | None, Header(description="As `after`, from a client that reconnects.")] = None,
) -> Followed:
    return await run_service.followed(session, path, last_event_id if after is None else after)


def _streamed(runtime: Runtime, tenant_id: TenantId, begun: Begun, after: int) -> EventStream:
    headers = {"X-Run-ID": str(begun.run_id)} | ({"Idempotent-Replayed": "true"} if begun.replayed else {})
    batches = runtime.execution.follow(tenant_id, begun.run_id, after)
    return EventStream(batches, headers, runtime.settings.runs.stream_stall_seconds)


@router.post("/stream", response_class=Response, responses=STREAM | errors(400, 402, 409, 413))
async def stream_run(asked: Asked, runtime: Running) -> Response:
    """Begin a run and follow it. The run goes on when the client leaves."""
    return _streamed(runtime, asked.tenant_id, await runtime.execution.start(asked), 0)


@router.post("/runs", status_code=202, response_model=schemas.Run, responses=errors(400, 402, 409, 413))
async def create_run(asked: Asked, runtime: Running, response: Response) -> schemas.Run:
    """Begin a run that goes on in the background."""
    begun = await runtime.execution.start(asked)
    response.headers["X-Run-ID"] = str(begun.run_id)
    if begun.replayed:
        response.headers["Idempotent-Replayed"] = "true"
    path = RunPath(asked.caller, asked.tenant_id, asked.conversation_id, begun.run_id)
    return await run_service.read(runtime.database, path)


@router.get("/runs", response_model=schemas.RunPage)
async def list_runs(
    tenant_id: PathTenant,
    conversation_id: PathConversation,
    query: Annotated[schemas.RunQuery, Query()],
    caller: TenantUser,
    session: Reading,
) -> schemas.RunPage:
    """Newest first."""
    return await run_service.list_runs(session, tenant_id, caller, conversation_id, query)


@router.get("/runs/{run_id}", response_model=schemas.Run)
async def get_run(path: ThisRun, session: Reading) -> schemas.Run:
    """One run."""
    return await run_service.get(session, path)


@router.post("/runs/{run_id}/cancel", status_code=202, response_model=schemas.Run, responses=errors(409))
async def cancel_run(path: ThisRun, runtime: Running) -> schemas.Run:
    """Have a run end soon, as `cancelled`. 409 when it ended or is being cancelled."""
    return await run_service.cancel(runtime.database, runtime.execution, path)


@router.get("/runs/{run_id}/events", response_model=schemas.EventPage, responses=STREAM | errors(400))
async def list_events(
    followed: Annotated[Followed, Depends(_followed)],
    runtime: Running,
    accept: Annotated[str, Header()] = "*/*",
    limit: Annotated[int, Query(ge=1, le=1000, description="Events of a page at most.")] = 500,
) -> Response | schemas.EventPage:
    """Replay, then live, as a stream; or what is recorded, as a page, for `Accept: application/json`."""
    if "application/json" in accept:
        return await run_service.event_page(runtime.execution, followed, limit)
    return _streamed(runtime, followed.tenant_id, Begun(followed.run_id, replayed=False), followed.after)
