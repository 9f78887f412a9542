"""The stand-in's HTTP side: the Bedrock runtime's paths, and its own control paths under `/_standin/`."""

import asyncio
import base64
import binascii
import json
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from standin import answers, asked, playing, tokens, wires
from standin.ledger import Call, Ledger, Recorded
from standin.playing import Settings
from standin.tokens import Json

_LARGEST_BODY = 64 * 1024 * 1024
_EVENT_STREAM = "application/vnd.amazon.eventstream"
_REQUEST_ID = web.RequestKey("request_id", str)
_GRACE = 0.5
"""Seconds that open answers get when the server ends."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a stand-in listens."""

    host: str
    port: int
    uds: str | None = None

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def __str__(self) -> str:
        return self.url


class _Connection:
    """An aiohttp answer as `playing` wants it."""

    def __init__(self, request: web.Request, headers: dict[str, str]) -> None:
        self._request = request
        self.response = web.StreamResponse(headers={"Content-Type": _EVENT_STREAM, **headers})

    async def begin(self) -> None:
        self.response.enable_chunked_encoding()
        await self.response.prepare(self._request)

    async def send(self, data: bytes) -> None:
        await self.response.write(data)

    def close(self) -> None:
        _hang_up(self._request)


@dataclass(frozen=True, slots=True)
class _Exchange:
    """A model call under way."""

    request: web.Request
    call: Call
    began: float

    def body(self, answer: answers.Answer, usage: tokens.Usage) -> bytes:
        """The whole answer; its output is added to the usage."""
        usage.output_tokens = playing.output_tokens(answer)
        took = int((time.monotonic() - self.began) * 1000)
        reason = playing.stop_reason(answer)
        return _wire(self.call).whole(playing.written(answer), reason, usage, wires.Timing(took, took))


_Sender = Callable[[_Exchange, asked.Asked, answers.Answer], Awaitable[web.StreamResponse]]


def _undamaged(call: Call, body: bytes, usage: tokens.Usage) -> web.Response:
    headers = {"x-amzn-RequestId": call.request_id}
    if call.failure is None:
        headers |= _token_headers(usage)
    call.usage, call.output_tokens_stated, call.finished = usage, usage.output_tokens, call.failure is None
    return web.Response(body=body, content_type="application/json", headers=headers)


def _hang_up(request: web.Request) -> None:
    if request.transport:
        request.transport.close()


class Standin:
    """All routes and what they share."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.ledger = Ledger()
        self._cache = tokens.PrefixCache()
        self._strikes = answers.Strikes()

    def application(self) -> web.Application:
        app = web.Application(client_max_size=_LARGEST_BODY)
        app.add_routes(
            [
                web.post("/model/{model:.+}/invoke", self._whole),
                web.post("/model/{model:.+}/invoke-with-response-stream", self._streamed),
                web.post("/model/{model:.+}/converse", self._whole),
                web.post("/model/{model:.+}/converse-stream", self._streamed),
                web.post("/model/{model:.+}/count-tokens", self._count_tokens),
                web.get("/_standin/health", self._health),
                web.get("/_standin/counters", self._counters),
                web.get("/_standin/requests", self._requests),
                web.post("/_standin/reset", self._reset),
                web.post("/_standin/settings", self._change_settings),
                web.route("*", "/{path:.*}", self._unknown),
            ]
        )
        return app

    # --- model calls ---

    async def _streamed(self, request: web.Request) -> web.StreamResponse:
        return await self._model_call(request, self._play)

    async def _whole(self, request: web.Request) -> web.StreamResponse:
        return await self._model_call(request, self._send_whole)

    async def _model_call(self, request: web.Request, send: _Sender) -> web.StreamResponse:
        """Read the question, send the answer, and close the call's entry whatever happens."""
        call = self._open(request)
        exchange = _Exchange(request, call, time.monotonic())
        try:
            question, answer = await self._ask(request, call)
            return await send(exchange, question, answer)
        except playing.Refused as refused:
            return _refusal(call, refused.kind)
        except asked.Malformed as error:
            return _malformed(call, str(error))
        except (ConnectionResetError, asyncio.CancelledError):
            call.failure = call.failure or "client_gone"
            raise
        finally:
            call.open = False

    async def _play(self, exchange: _Exchange, question: asked.Asked, answer: answers.Answer) -> web.StreamResponse:
        call, usage = exchange.call, self._input(question, answer)
        connection = _Connection(exchange.request, {"x-amzn-RequestId": call.request_id, **_content_type(call)})
        call.status = 200
        stream = playing.Stream(connection, _wire(call), call, self.settings)
        await stream.play(answer, usage, exchange.began)
        return connection.response

    def _open(self, request: web.Request) -> Call:
        operation = request.path.rpartition("/")[2]
        request_id = request[_REQUEST_ID] = str(uuid.uuid4())
        message_id = f"msg_bdrk_{uuid.uuid4().hex}"
        return self.ledger.open(Call(message_id, request_id, request.match_info["model"], operation))

    async def _ask(self, request: web.Request, call: Call) -> tuple[asked.Asked, answers.Answer]:
        body = await self._read(request)
        if self.settings.require_signature and not _is_signed(request):
            raise playing.Refused("unsigned")
        parse = asked.parse_converse if call.operation.startswith("converse") else asked.parse_messages
        question = parse(call.model, call.operation, _loads(body))
        answer = answers.answer(question, self._strikes)
        await playing.refuse_first(answer, self.settings)
        return question, answer

    async def _read(self, request: web.Request) -> bytes:
        body = await request.read()
        headers = list(request.headers.items())
        self.ledger.record(Recorded(request.method, request.raw_path, headers, body, request.get(_REQUEST_ID, "")))
        return body

    def _input(self, question: asked.Asked, answer: answers.Answer) -> tokens.Usage:
        return playing.apply_input(self._cache.count(question.model, question.pieces), answer.usage)

    async def _send_whole(
        self, exchange: _Exchange, question: asked.Asked, answer: answers.Answer
    ) -> web.StreamResponse:
        """Send the body, or what the script's failure leaves of it."""
        call = exchange.call
        await playing.linger(answer, self.settings)
        usage = self._input(question, answer)
        body = exchange.body(answer, usage)
        call.status, call.failure = 200, playing.failure_of_whole(answer)
        match call.failure:
            case None | "no_metrics":
                return _undamaged(call, body, usage)
            case "silence":
                await asyncio.sleep(self.settings.silence)
                _hang_up(exchange.request)
                return web.Response()
            case "empty":
                return web.Response(content_type="application/json")
            case "cut" | "crc" | "missing_end":
                return web.Response(body=body[: len(body) // 2], content_type="application/json")
            case kind:
                raise playing.Refused(kind)

    async def _count_tokens(self, request: web.Request) -> web.Response:
        call = self._open(request)
        call.open = False
        try:
            count = _counted(_loads(await self._read(request)))
        except asked.Malformed as error:
            return _malformed(call, str(error))
        call.status, call.finished = 200, True
        return web.json_response({"inputTokens": count}, headers={"x-amzn-RequestId": call.request_id})

    async def _unknown(self, request: web.Request) -> web.Response:
        await self._read(request)
        return _error(404, "UnknownOperationException", f"Stand-in model: no operation {request.method} {request.path}")

    # --- control ---

    async def _health(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok", "says": "scripted stand-in for the Bedrock runtime"})

    async def _counters(self, _: web.Request) -> web.Response:
        return web.json_response(self.ledger.counters())

    async def _requests(self, _: web.Request) -> web.Response:
        return web.json_response([_shown(recorded) for recorded in self.ledger.requests()])

    async def _reset(self, _: web.Request) -> web.Response:
        self.ledger.clear()
        self._cache = tokens.PrefixCache()
        self._strikes = answers.Strikes()
        return web.json_response({})

    async def _change_settings(self, request: web.Request) -> web.Response:
        changes = _loads(await request.read())
        known = asdict(self.settings)
        if not isinstance(changes, dict) or changes.keys() - known.keys():
            return _error(400, "ValidationException", f"Settings are {', '.join(known)}")
        for name, value in changes.items():
            if not isinstance(value, int | float) or value < 0:
                return _error(400, "ValidationException", f"{name} must be a number from 0")
            setattr(self.settings, name, type(known[name])(value))
        return web.json_response(asdict(self.settings))


def _loads(body: bytes) -> Json:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        with suppress(ValueError):
            return json.loads(body)
    raise asked.Malformed("Malformed input request: not JSON")


def _is_signed(request: web.Request) -> bool:
    return request.headers.get("Authorization", "").startswith("AWS4-HMAC-SHA256 ")


def _wire(call: Call) -> wires.Wire:
    return wires.ConverseWire() if call.operation.startswith("converse") else wires.MessagesWire(call.id, call.model)


def _content_type(call: Call) -> dict[str, str]:
    return {} if call.operation.startswith("converse") else {"X-Amzn-Bedrock-Content-Type": "application/json"}


def _token_headers(usage: tokens.Usage) -> dict[str, str]:
    return {
        "X-Amzn-Bedrock-Input-Token-Count": str(usage.input_tokens),
        "X-Amzn-Bedrock-Output-Token-Count": str(usage.output_tokens),
        "X-Amzn-Bedrock-Cache-Read-Input-Token-Count": str(usage.cache_read),
        "X-Amzn-Bedrock-Cache-Write-Input-Token-Count": str(usage.cache_creation),
    }


def _refusal(call: Call, kind: str) -> web.Response:
    call.failure = kind
    if kind == "unsigned":
        call.status = 403
        return _error(403, "MissingAuthenticationTokenException", "Missing Authentication Token", call.request_id)
    shape = wires.EXCEPTIONS[kind]
    call.status = shape.status
    return _error(shape.status, shape.over_http, f"Stand-in model: scripted failure {kind}", call.request_id)


def _malformed(call: Call, message: str) -> web.Response:
    call.failure, call.status = "malformed", 400
    return _error(400, "ValidationException", message, call.request_id)


def _error(status: int, kind: str, message: str, request_id: str | None = None) -> web.Response:
    headers = {"x-amzn-ErrorType": kind, "x-amzn-RequestId": request_id or str(uuid.uuid4())}
    return web.json_response({"message": message}, status=status, headers=headers)


def _counted(body: Json) -> int:
    """Input tokens of a CountTokens body."""
    try:
        wanted = body["input"]
        if "converse" in wanted:
            return tokens.total(tokens.from_converse(wanted["converse"]))
        inner = _loads(base64.b64decode(wanted["invokeModel"]["body"]))
        return tokens.total(tokens.from_messages(inner))
    except (KeyError, TypeError, AttributeError, binascii.Error) as error:
        raise asked.Malformed(f"Malformed input request: {error!r}") from error


def _shown(recorded: Recorded) -> dict[str, Any]:
    try:
        body = _loads(recorded.body) if recorded.body else None
    except asked.Malformed:
        body = recorded.body.decode(errors="replace")
    return {
        "request_id": recorded.request_id,
        "method": recorded.method,
        "path": recorded.path,
        "headers": recorded.headers,
        "body": body,
    }


@asynccontextmanager
async def running(
    *, host: str = "127.0.0.1", port: int = 0, uds: str | Path | None = None, settings: Settings | None = None
) -> AsyncIterator[Address]:
    """Serve until the block is left; port 0 takes a free one. With `uds`, listen on that unix socket too."""
    async with AsyncExitStack() as opened:
        app = Standin(settings or Settings()).application()
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=_GRACE)
        opened.push_async_callback(runner.cleanup)
        await runner.setup()
        site = web.TCPSite(runner, host, port, backlog=1024)
        await site.start()
        if uds:
            await web.UnixSite(runner, str(uds), backlog=1024).start()
        yield Address(host, runner.addresses[0][1], str(uds) if uds else None)
