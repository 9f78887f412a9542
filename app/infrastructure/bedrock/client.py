"""Calls the model service: builds, signs and sends a request, and hands on the answer's raw bytes as they arrive."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import cast
from urllib.parse import quote

import aiohttp
import orjson
import structlog
from yarl import URL

from app.config import ModelService
from app.errors import ServiceUnavailable
from app.infrastructure.bedrock.calls import AnswerBroken, ModelRefused, ModelRequest
from app.infrastructure.bedrock.credentials import CredentialSource
from app.infrastructure.bedrock.signing import signed

log = structlog.get_logger()

EVENT_STREAM = "application/vnd.amazon.eventstream"
CONNECT_SECONDS = 10.0
CALL_SECONDS = 3600.0
"""The longest a call may take in all, however lively."""
IDLE_SECONDS = 50.0
"""How long a connection is kept for the next call; the service closes idle ones after a minute."""
ERROR_BYTES = 64 * 1024
MESSAGE_LENGTH = 1000

_REGION = re.compile(r"[a-z]{2}(-[a-z]{1,16}){1,3}-\d{1,2}")
_KIND = re.compile(r"[A-Za-z]{1,64}")
_RETRY_AFTER = re.compile(r"\d{1,5}")
_ACCOUNT = re.compile(r"arn:[^\s\"',;)]+|\b\d{12}\b")
_OUR_CREDENTIALS = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "IncompleteSignatureException",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
_LOST = (aiohttp.ClientError, OSError, TimeoutError)


class ModelAnswer:
    """The service's answer to a call it accepted."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    @property
    def headers(self) -> Mapping[str, str]:
        return self._response.headers

    async def read(self) -> bytes:
        """The bytes that have arrived; waits for some; empty at the end. Raises `AnswerBroken`."""
        content = self._response.content
        try:
            return await content.readany()
        except _LOST as error:
            return _kept_back(content, error)

    def close(self) -> None:
        """Let go of the connection; one with unread bytes is not used again."""
        self._response.close()


def _kept_back(content: aiohttp.StreamReader, error: Exception) -> bytes:
    """What arrived ahead of a break, which aiohttp would withhold; the next read raises."""
    if content.exception() is None:
        raise AnswerBroken from error
    content.set_exception(cast("Exception", None))
    rest = content.read_nowait()
    content.set_exception(error)
    if not rest:
        raise AnswerBroken from error
    return rest


class BedrockClient:
    """One connection pool and one source of credentials, shared by all calls of the process."""

    def __init__(self, settings: ModelService, session: aiohttp.ClientSession) -> None:
        self._settings = settings
        self._session = session
        self._credentials = CredentialSource(settings)

    async def open(self, request: ModelRequest) -> ModelAnswer:
        """Send a call and wait for the head of its answer.

        Raises `ModelRefused` with what the service says, or `ServiceUnavailable` when there is no way to it.
        """
        url = self._url(request)
        headers = await self._headers(request, url)
        try:
            response = await self._session.post(url, data=request.body, headers=headers, allow_redirects=False)
        except _LOST as error:
            log.warning("model_service.unreachable", error=type(error).__name__, region=request.region)
            raise ServiceUnavailable("The model service cannot be reached at the moment.") from None
        if response.status == 200:
            return ModelAnswer(response)
        raise await self._refusal(response)

    def _url(self, request: ModelRequest) -> URL:
        path = f"model/{quote(request.bedrock_model_id, safe='')}/{request.operation}"
        return URL(f"{self._base(request.region)}/{path}", encoded=True)

    def _base(self, region: str) -> str:
        if self._settings.bedrock_endpoint_url:
            return self._settings.bedrock_endpoint_url.rstrip("/")
        if not _REGION.fullmatch(region):
            log.error("model_service.bad_region", region=region)
            raise ServiceUnavailable("The model service cannot be called at the moment.")
        return f"https://bedrock-runtime.{region}.amazonaws.com"

    async def _headers(self, request: ModelRequest, url: URL) -> dict[str, str]:
        streamed = request.operation == "invoke-with-response-stream"
        headers = {"Content-Type": "application/json", "Accept": EVENT_STREAM if streamed else "application/json"}
        if streamed:
            headers["X-Amzn-Bedrock-Accept"] = "application/json"
        credentials = await self._credentials.current()
        if credentials is None:
            return headers
        return signed(credentials, request.region, url, headers, request.body)

    async def _refusal(self, response: aiohttp.ClientResponse) -> ModelRefused | ServiceUnavailable:
        kind, message = await _said(response)
        log.warning("model_service.refused", status=response.status, kind=kind, reason=message)
        if kind in _OUR_CREDENTIALS or response.status == 401:
            self._credentials.forget()
            return ServiceUnavailable("The model service cannot be called at the moment.")
        if response.status == 403:
            return ModelRefused(403, kind, "The model service does not allow this call.")
        status = response.status if response.status >= 400 else 502
        return ModelRefused(status, kind, message, _retry_after(response))


async def _said(response: aiohttp.ClientResponse) -> tuple[str, str]:
    """The error's name and sentence, as far as they are fit to be passed on."""
    try:
        body = await response.content.read(ERROR_BYTES)
    except _LOST:
        body = b""
    finally:
        response.close()
    named = response.headers.get("x-amzn-ErrorType", "").partition(":")[0]
    kind = named if _KIND.fullmatch(named) else "ServiceException"
    return kind, _ACCOUNT.sub("…", _message(body))[:MESSAGE_LENGTH]


def _message(body: bytes) -> str:
    try:
        said = orjson.loads(body)
    except ValueError:
        said = None
    message = said.get("message") or said.get("Message") if isinstance(said, dict) else None
    return message if isinstance(message, str) else "The model service gave no reason."


def _retry_after(response: aiohttp.ClientResponse) -> str | None:
    value = response.headers.get("Retry-After", "")
    return value if _RETRY_AFTER.fullmatch(value) else None


@asynccontextmanager
async def open_bedrock(settings: ModelService) -> AsyncIterator[BedrockClient]:
    """A client for as long as the block lasts."""
    limits = aiohttp.ClientTimeout(
        total=CALL_SECONDS, sock_connect=CONNECT_SECONDS, sock_read=settings.model_call_timeout
    )
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=IDLE_SECONDS)
    session = aiohttp.ClientSession(
        connector=connector,
        timeout=limits,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        headers={"Accept-Encoding": "identity", "User-Agent": "claude-agent-backend"},
    )
    try:
        yield BedrockClient(settings, session)
    finally:
        await asyncio.shield(session.close())
