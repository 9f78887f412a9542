"""The client of the model service: where it calls, as whom, and what it says when that fails."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from aiohttp import web
from botocore.credentials import Credentials, RefreshableCredentials
from pydantic import SecretStr

from app.config import ModelService
from app.errors import ServiceUnavailable
from app.infrastructure.bedrock import credentials as module
from app.infrastructure.bedrock.calls import ModelRefused, ModelRequest
from app.infrastructure.bedrock.client import open_bedrock
from app.infrastructure.bedrock.credentials import CredentialSource, is_loopback

REQUEST = ModelRequest("a.model:0", "us-east-1", "invoke", b"{}")


def models(**fields: object) -> ModelService:
    nothing = dict.fromkeys(("aws_access_key_id", "aws_secret_access_key", "aws_session_token", "bedrock_endpoint_url"))
    return ModelService(**nothing | fields)


@asynccontextmanager
async def served(answer: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]) -> AsyncIterator[str]:
    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    await runner.cleanup()


async def refused(status: int, headers: dict[str, str], body: bytes) -> Exception:
    async def answer(_: web.BaseRequest) -> web.Response:
        return web.Response(status=status, headers=headers, body=body)

    async with served(answer) as url, open_bedrock(models(bedrock_endpoint_url=url)) as client:
        with pytest.raises((ModelRefused, ServiceUnavailable)) as caught:
            await client.open(REQUEST)
        return caught.value


async def test_the_service_is_called_in_the_models_region():
    async with open_bedrock(models()) as client:
        assert str(client._url(REQUEST)) == "https://bedrock-runtime.us-east-1.amazonaws.com/model/a.model%3A0/invoke"


@pytest.mark.parametrize("region", ["", "us-east-1.evil.example/", "x@evil.example", "us-east-1\n", "../..", "1.2.3.4"])
async def test_a_region_that_is_none_leads_nowhere(region):
    async with open_bedrock(models()) as client:
        with pytest.raises(ServiceUnavailable):
            client._url(ModelRequest("a.model", region, "invoke", b"{}"))


async def test_throttling_keeps_its_retry_after():
    error = await refused(429, {"x-amzn-ErrorType": "ThrottlingException:http://x", "Retry-After": "7"}, b"{}")
    assert isinstance(error, ModelRefused)
    assert (error.refused_with, error.kind, error.retry_after) == (429, "ThrottlingException", "7")
    assert error.reason == "The model service gave no reason."


async def test_what_names_the_account_is_taken_out_of_a_reason():
    body = b'{"message": "arn:aws:iam::123456789012:user/ops may not, says 123456789012"}'
    error = await refused(400, {"x-amzn-ErrorType": "ValidationException", "Retry-After": "<x>"}, body)
    assert isinstance(error, ModelRefused)
    assert (error.reason, error.retry_after) == ("… may not, says …", None)


@pytest.mark.parametrize("body", [b"<html>oops</html>", b"[]", b'{"message": {"a": 1}}', b"\xff", b"x" * 200_000])
async def test_a_strange_error_body_is_not_passed_on(body):
    error = await refused(500, {"x-amzn-ErrorType": "a b<c>"}, body)
    assert isinstance(error, ModelRefused)
    assert (error.refused_with, error.kind) == (500, "ServiceException")
    assert error.reason == "The model service gave no reason."


async def test_a_redirect_is_not_followed():
    error = await refused(307, {"Location": "http://127.0.0.1:1/"}, b"")
    assert isinstance(error, ModelRefused)
    assert error.refused_with == 502


async def test_a_call_that_the_account_may_not_make_is_403_without_the_reason():
    error = await refused(403, {"x-amzn-ErrorType": "AccessDeniedException"}, b'{"message": "User ops may not"}')
    assert isinstance(error, ModelRefused)
    assert (error.refused_with, error.reason) == (403, "The model service does not allow this call.")


@pytest.mark.parametrize("kind", ["ExpiredTokenException", "UnrecognizedClientException", "InvalidSignatureException"])
async def test_credentials_that_are_not_accepted_are_looked_up_anew(kind):
    async def answer(_: web.BaseRequest) -> web.Response:
        return web.Response(status=403, headers={"x-amzn-ErrorType": kind})

    async with served(answer) as url, open_bedrock(models(bedrock_endpoint_url=url)) as client:
        client._credentials._frozen = Credentials("a", "b").get_frozen_credentials()
        with pytest.raises(ServiceUnavailable):
            await client.open(REQUEST)
        assert client._credentials._frozen is None


# --- credentials ---


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("http://127.0.0.1:8080", True),
        ("http://localhost", True),
        ("http://[::1]:9/", True),
        ("http://127.0.0.1.evil.example", False),
        ("http://10.0.0.1", False),
        ("https://vpce-1.bedrock-runtime.us-east-1.vpce.amazonaws.com", False),
        ("http://localhost.evil.example", False),
        ("", False),
        (None, False),
    ],
)
def test_only_this_machine_is_loopback(url, loopback):
    assert is_loopback(url) is loopback


async def headers_to(url: str, **fields: object) -> dict[str, str]:
    async with open_bedrock(models(bedrock_endpoint_url=url, **fields)) as client:
        return await client._headers(REQUEST, client._url(REQUEST))


async def test_only_loopback_is_called_unsigned_and_only_without_static_credentials(monkeypatch):
    monkeypatch.setattr(module, "Session", lambda: FakeSession(None))
    assert "Authorization" not in await headers_to("http://127.0.0.1:1")
    static = {"aws_access_key_id": SecretStr("a"), "aws_secret_access_key": SecretStr("b")}
    assert "Authorization" in await headers_to("http://127.0.0.1:1", **static)
    with pytest.raises(ServiceUnavailable):
        await headers_to("https://elsewhere.example")


class FakeSession:
    """botocore's chain, as far as it is asked."""

    def __init__(self, found: Credentials | None) -> None:
        self._found = found

    def get_credentials(self) -> Credentials | None:
        return self._found


def renewable(renewals: list[int], lifetime: timedelta) -> RefreshableCredentials:
    def renewed() -> dict[str, str]:
        renewals.append(1)
        until = datetime.now(UTC) + (lifetime if len(renewals) == 1 else timedelta(hours=6))
        number = str(len(renewals))
        return {"access_key": number, "secret_key": "s", "token": "t", "expiry_time": until.isoformat()}

    return RefreshableCredentials.create_from_metadata(renewed(), refresh_using=renewed, method="test")


async def test_credentials_are_kept_until_they_age_and_renewed_then(monkeypatch):
    renewals: list[int] = []
    found = renewable(renewals, timedelta(hours=6))
    monkeypatch.setattr(module, "Session", lambda: FakeSession(found))
    source = CredentialSource(models())
    for _ in range(3):
        credentials = await source.current()
        assert credentials
        assert credentials.access_key == "1"
    ageing = renewable(renewals2 := [], timedelta(minutes=5))
    monkeypatch.setattr(module, "Session", lambda: FakeSession(ageing))
    source.forget()
    renewed = [await source.current() for _ in range(3)]
    assert [credentials.access_key for credentials in renewed if credentials] == ["2", "2", "2"]
    assert len(renewals2) == 2
