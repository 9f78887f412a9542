"""The model service as a sandbox may see it: a few operations on allowed models, each request rebuilt, never forwarded.

Of a request only the operation, the model id and the body's JSON object are taken; its headers are dropped. Refusals
and errors come in the service's own shape, so that the agent's client understands them.
"""

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast
from urllib.parse import unquote

import orjson
import structlog
from aiohttp import HttpVersion11, web

from app.errors import AppError, Forbidden, InvalidInput, NotFound, PayloadTooLarge, RateLimited, ServiceUnavailable
from app.services.model_gate import AnswerBroken, Binding, MeteredCall, ModelGate, ModelRefused, Operation

log = structlog.get_logger()

LARGEST_HEADER = 16 * 1024
LARGEST_BODY = 32 * 1024 * 1024
LARGEST_HELD = 64 * 1024 * 1024
"""Bytes of bodies that one sandbox's calls may hold at once."""
BODY_SECONDS = 60.0
"""How long a body may take to arrive."""
STALL_SECONDS = 30.0
"""How long a sandbox may take no byte of an answer before it is cut."""

_CALL = re.compile(r"/model/([^/?#]{1,1024})/(invoke|invoke-with-response-stream|count-tokens)")
_PROFILES = re.compile(r"/inference-profiles(/[^/?#]*)?(\?[^#]*)?")
_CONTENT_TYPES: dict[Operation, str] = {
    "invoke": "application/json",
    "invoke-with-response-stream": "application/vnd.amazon.eventstream",
    "count-tokens": "application/json",
}
_REQUEST_ID = re.compile(r"[A-Za-z0-9-]{1,64}")
_KINDS: dict[type[AppError], str] = {
    Forbidden: "AccessDeniedException",
    InvalidInput: "ValidationException",
    NotFound: "ResourceNotFoundException",
    PayloadTooLarge: "ValidationException",
    RateLimited: "ThrottlingException",
    ServiceUnavailable: "ServiceUnavailableException",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a request asks for."""

    bedrock_model_id: str
    operation: Operation


class Allowance:
    """How many bytes of bodies one sandbox may still have held for it."""

    def __init__(self) -> None:
        self._held = 0

    @contextmanager
    def holding(self) -> Iterator[Callable[[int], None]]:
        """Yields what a call takes more bytes with; all are given back at the end of the block."""
        taken = 0

        def take(size: int) -> None:
            nonlocal taken
            taken += size
            self._held += size
            if taken > LARGEST_BODY:
                raise PayloadTooLarge
            if self._held > LARGEST_HELD:
                raise RateLimited("Too many large requests at once.")

        try:
            yield take
        finally:
            self._held -= taken


class ModelCalls:
    """Answers one sandbox."""

    def __init__(self, gate: ModelGate, binding: Binding) -> None:
        self._gate = gate
        self._binding = binding
        self._allowance = Allowance()

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Make the call that is asked for and pass its answer on. Raises what is refused."""
        wanted = _wanted(request)
        with self._allowance.holding() as take:
            body = await _body(request, take)
            async with self._gate.call(
                self._binding.paying_origin, wanted.bedrock_model_id, wanted.operation, body
            ) as call:
                return await _pass_on(request, wanted.operation, call)


def _wanted(request: web.BaseRequest) -> Wanted:
    if request.method == "GET" and _PROFILES.fullmatch(request.raw_path):
        raise NotFound("There are no inference profiles.")
    match = _CALL.fullmatch(request.raw_path)
    if request.method != "POST" or match is None:
        raise Forbidden("This operation is not allowed.")
    if not _is_plain(request):
        raise InvalidInput("The request must be plain HTTP/1.1.")
    try:
        model_id = unquote(match[1], errors="strict")
    except UnicodeDecodeError:
        raise Forbidden("This operation is not allowed.") from None
    return Wanted(model_id, cast("Operation", match[2]))


def _is_plain(request: web.BaseRequest) -> bool:
    header_size = sum(len(name) + len(value) for name, value in request.raw_headers)
    return (
        request.version == HttpVersion11
        and header_size <= LARGEST_HEADER
        and not request.headers.keys() & {"Content-Encoding", "Upgrade"}
    )


async def _body(request: web.BaseRequest, take: Callable[[int], None]) -> bytes:
    if (request.content_length or 0) > LARGEST_BODY:
        raise PayloadTooLarge
    parts = []
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.content.iter_any():
                take(len(part))
                parts.append(part)
    except (TimeoutError, ConnectionError, web.RequestPayloadError):
        raise InvalidInput("The request's body did not arrive.") from None
    return _checked(b"".join(parts))


def _checked(body: bytes) -> bytes:
    try:
        is_object = isinstance(orjson.loads(body), dict)
    except orjson.JSONDecodeError:
        is_object = False
    if not is_object:
        raise InvalidInput("The request's body must be a JSON object.")
    return body


async def _pass_on(request: web.BaseRequest, operation: Operation, call: MeteredCall) -> web.StreamResponse:
    """Bytes go out as they come in; an answer that does not end well is cut off, never ended."""
    response = web.StreamResponse(headers=_headers(operation, call.request_id))
    ends_well = False
    try:
        await response.prepare(request)
        while part := await call.read():
            async with asyncio.timeout(STALL_SECONDS):
                await response.write(part)
        ends_well = call.is_told_plainly
    except (AnswerBroken, TimeoutError, ConnectionError) as error:
        log.info("gateway.answer_cut", reason=type(error).__name__)
    finally:
        if not ends_well:
            _cut(request)
    return response


def _headers(operation: Operation, request_id: str) -> dict[str, str]:
    headers = {"Content-Type": _CONTENT_TYPES[operation]}
    if operation == "invoke-with-response-stream":
        headers["X-Amzn-Bedrock-Content-Type"] = "application/json"
    if _REQUEST_ID.fullmatch(request_id):
        headers["x-amzn-RequestId"] = request_id
    return headers


def _cut(request: web.BaseRequest) -> None:
    """Close the connection behind what is sent, so that the answer has no proper end."""
    transport = request.transport
    if transport and not transport.is_closing():
        transport.close()
        asyncio.get_running_loop().call_later(STALL_SECONDS, transport.abort)


def refusal(error: AppError) -> web.Response:
    """An error in the service's own shape."""
    if isinstance(error, ModelRefused):
        retry = {"Retry-After": error.retry_after} if error.retry_after else {}
        return _error(error.refused_with, error.kind, error.reason, retry)
    return _error(error.status, _KINDS.get(type(error), "InternalServerException"), error.message, {})


def _error(status: int, kind: str, message: str, headers: dict[str, str]) -> web.Response:
    return web.Response(
        status=status,
        body=orjson.dumps({"message": message}),
        content_type="application/json",
        headers={"x-amzn-ErrorType": kind, **headers},
    )
