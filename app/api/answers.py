"""What routes answer beside their resource: totals, repeated answers and documented errors."""

from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Header, Request, Response

from app.api.dependencies import Admin, PathTenant, PlatformWriting, TenantUser, Writing
from app.schemas.common import Output, Page
from app.schemas.errors import ErrorEnvelope
from app.services.callers import Caller
from app.services.idempotency import PLATFORM, Answer, KeyedRequest, Once, keyed_request

T = TypeVar("T")

Responses = dict[int | str, dict[str, Any]]

TOTAL: Responses = {
    200: {"headers": {"X-Total-Count": {"description": "Items in the whole list.", "schema": {"type": "integer"}}}}
}
REPLAYED: Responses = {
    201: {
        "headers": {
            "Idempotent-Replayed": {
                "description": "`true` if this is the answer to an earlier request with the same key.",
                "schema": {"type": "string"},
            }
        }
    }
}


def errors(*statuses: int) -> Responses:
    """The documentation of error answers."""
    return {status: {"model": ErrorEnvelope, "description": HTTPStatus(status).phrase} for status in statuses}


class Counted:
    """Answers a bare array, with the whole list's length in a header."""

    def __init__(self, response: Response) -> None:
        self._response = response

    def __call__(self, page: Page[T]) -> Sequence[T]:
        self._response.headers["X-Total-Count"] = str(page.total)
        return page.items


class Creation:
    """Answers a POST that creates, once per key."""

    def __init__(self, once: Once) -> None:
        self._once = once

    async def __call__(self, shape: type[Output], effect: Callable[[], Awaitable[object]]) -> Response:
        return _render(await self._once.created(shape, effect))


def _render(answer: Answer) -> Response:
    headers = {"Idempotent-Replayed": "true"} if answer.replayed else None
    return Response(answer.body, answer.status, headers, media_type="application/json")


async def fingerprinted(
    request: Request, caller: Caller, key: str | None, content: bytes | None = None
) -> KeyedRequest | None:
    """The request as its key names it, with its body or what was read from that; none without a key."""
    if key is None:
        return None
    target = f"{request.method} {request.url.path}?{request.url.query}"
    body = await request.body() if content is None else content
    return keyed_request(key, target.encode(), (caller.user_id or "").encode(), body)


IdempotencyKey = Annotated[
    str | None,
    Header(description="1–255 visible ASCII characters; the same key and request get the same answer for 24 hours."),
]


async def _once(
    request: Request,
    caller: TenantUser,
    tenant_id: PathTenant,
    session: Writing,
    idempotency_key: IdempotencyKey = None,
) -> Creation:
    return Creation(Once(session, tenant_id, await fingerprinted(request, caller, idempotency_key)))


async def _platform_once(
    request: Request, caller: Admin, session: PlatformWriting, idempotency_key: IdempotencyKey = None
) -> Creation:
    return Creation(Once(session, PLATFORM, await fingerprinted(request, caller, idempotency_key)))


Created = Annotated[Creation, Depends(_once)]
PlatformCreated = Annotated[Creation, Depends(_platform_once)]
Listed = Annotated[Counted, Depends(Counted)]
