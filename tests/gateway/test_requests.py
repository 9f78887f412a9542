"""What a sandbox may ask for, and what becomes of its request on the way."""

import asyncio
import hashlib
import hmac
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson
import pytest

from app.database import Database
from app.gateway import model_calls
from app.services.model_gate import ModelGate
from tests.gateway.conftest import BODY, SECRET, TOKEN, post, raw, register, requests_seen, until
from tests.standin.client import MODEL, Client, messages_body, path

OPUS = "global.anthropic.claude-opus-4-5-20251101-v1:0"


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


TRICKS = (
    f"/model/{OPUS}/invoke",
    f"/model/{MODEL}/converse",
    f"/model/{MODEL}/converse-stream",
    f"/model/{MODEL}/async-invoke",
    f"/model/{MODEL}/invoke/",
    f"/model/{MODEL}/invoke?x=1",
    f"/model/{MODEL}/invoke#x",
    f"//model/{MODEL}/invoke",
    f"/model//{MODEL}/invoke",
    f"/model/{MODEL}//invoke",
    f"/Model/{MODEL}/invoke",
    f"/model/{MODEL}/INVOKE",
    f"/model/{MODEL}/../{OPUS}/invoke",
    f"/model/{OPUS}/../{MODEL}/invoke",
    f"/model/..%2f{MODEL}/invoke",
    f"/model/{MODEL}%2f..%2f{OPUS}/invoke",
    f"/model/{MODEL}%2finvoke",
    f"/model/{MODEL}%2finvoke/invoke",
    f"/model/{MODEL}%00/invoke",
    f"/model/{MODEL}%0d%0aX-Evil:1/invoke",
    f"/model/{quote(quote(MODEL, safe=''), safe='')}/invoke",
    f"/model/{MODEL.upper()}/invoke",
    f"/model/%ff{MODEL}/invoke",
    "/model/*/invoke",
    f"http://evil.example/model/{MODEL}/invoke",
    f"https://bedrock-runtime.us-east-1.amazonaws.com/model/{MODEL}/invoke",
    "/",
    "/guardrail/x/version/1/apply",
    "/model-invocation-job",
    "/foundation-models",
)


@pytest.mark.parametrize("target", TRICKS)
async def test_anything_but_the_listed_operations_on_allowed_models_is_403_and_goes_nowhere(
    door: Path, service: Client, target
):
    answer = await raw(door, post(target))
    assert status(answer) == 403
    assert b"x-amzn-ErrorType: AccessDeniedException" in answer
    assert orjson.loads(answer.partition(b"\r\n\r\n")[2])["message"]
    assert await requests_seen(service) == []


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE"])
async def test_other_methods_are_403(sandbox: Client, service: Client, method):
    async with sandbox.session.request(method, path("invoke")) as answer:
        assert answer.status == 403
    assert await requests_seen(service) == []


async def test_a_connect_goes_nowhere(door: Path, service: Client):
    answer = await raw(door, b"CONNECT evil.example:443 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert status(answer) in {400, 403}
    assert await requests_seen(service) == []


@pytest.mark.parametrize("target", ["/inference-profiles", "/inference-profiles?typeEquals=SYSTEM_DEFINED"])
async def test_there_are_no_inference_profiles_and_the_service_is_not_asked(sandbox: Client, service: Client, target):
    async with sandbox.session.get(target) as answer:
        assert (answer.status, answer.headers["x-amzn-ErrorType"]) == (404, "ResourceNotFoundException")
    assert await requests_seen(service) == []


async def test_a_registered_model_is_allowed_and_one_that_is_none_is_not(
    database: Database, sandbox: Client, gate: ModelGate
):
    assert (await sandbox.session.post(f"/model/{OPUS}/invoke", data=BODY)).status == 403
    await register(database, "opus", OPUS)
    gate.models_changed()
    assert (await sandbox.session.post(f"/model/{OPUS}/invoke", data=BODY)).status == 200


@pytest.mark.parametrize("spelt", [MODEL, quote(MODEL, safe=""), MODEL.replace("g", "%67")])
async def test_every_spelling_of_a_model_becomes_one(door: Path, service: Client, spelt):
    assert status(await raw(door, post(f"/model/{spelt}/invoke"))) == 200
    (seen,) = await requests_seen(service)
    assert seen["path"] == f"/model/{quote(MODEL, safe='')}/invoke"


async def test_an_arn_travels_encoded(database: Database, door: Path, service: Client):
    arn = "arn:aws:bedrock:eu-west-1:111122223333:application-inference-profile/abc"
    await register(database, "profile", arn)
    assert status(await raw(door, post(f"/model/{quote(arn, safe='')}/invoke"))) == 200
    (seen,) = await requests_seen(service)
    assert seen["path"] == f"/model/{quote(arn, safe='')}/invoke"


async def test_no_header_of_the_sandbox_gets_through(sandbox: Client, service: Client):
    smuggled = {
        "Authorization": "Bearer stolen",
        "Host": "evil.example",
        "X-Amz-Date": "20000101T000000Z",
        "X-Amz-Security-Token": "stolen",
        "X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD",
        "X-Amzn-Bedrock-GuardrailIdentifier": "none",
        "X-Amzn-Bedrock-Trace": "ENABLED",
        "Cookie": "a=b",
        "X-Forwarded-For": "1.2.3.4",
        "User-Agent": "sandbox",
        "Accept": "text/html",
        "Content-Type": "text/plain",
    }
    async with sandbox.session.post(path("invoke"), data=BODY, headers=smuggled) as answer:
        assert answer.status == 200
    (seen,) = await requests_seen(service)
    names = {name.lower() for name, _ in seen["headers"]}
    assert names == {
        "host",
        "accept",
        "accept-encoding",
        "content-type",
        "content-length",
        "user-agent",
        "x-amz-date",
        "x-amz-security-token",
        "authorization",
    }
    shown = orjson.dumps(seen["headers"]).decode()
    for value in ("stolen", "evil", "20000101", "1.2.3.4", "text/html", "text/plain", "sandbox"):
        assert value not in shown


def expected_signature(seen: dict[str, Any], body: bytes) -> str:
    """Signature Version 4, written down again from its specification."""
    headers = {name.lower(): value for name, value in seen["headers"]}
    fields = dict(part.split("=", 1) for part in headers["authorization"].split(" ", 1)[1].split(", "))
    _, day, region, name, end = fields["Credential"].split("/")
    canonical = "\n".join(
        [
            seen["method"],
            quote(seen["path"], safe="/-._~"),
            "",
            *(f"{header}:{headers[header]}" for header in fields["SignedHeaders"].split(";")),
            "",
            fields["SignedHeaders"],
            hashlib.sha256(body).hexdigest(),
        ]
    )
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = "\n".join(["AWS4-HMAC-SHA256", headers["x-amz-date"], f"{day}/{region}/{name}/{end}", digest])
    key = f"AWS4{SECRET}".encode()
    for part in (day, region, name, end):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.new(key, text.encode(), "sha256").hexdigest()


@pytest.mark.parametrize("operation", ["invoke", "invoke-with-response-stream"])
async def test_every_call_is_signed_on_the_host(sandbox: Client, service: Client, operation):
    async with sandbox.session.post(path(operation), data=BODY) as answer:
        await answer.read()
    (seen,) = await requests_seen(service)
    headers = dict(seen["headers"])
    assert f"Signature={expected_signature(seen, BODY)}" in headers["Authorization"]
    assert "/eu-west-1/bedrock/aws4_request" in headers["Authorization"]
    assert headers["X-Amz-Security-Token"] == TOKEN
    for signed in ("accept", "content-type", "host", "x-amz-date", "x-amz-security-token"):
        assert signed in headers["Authorization"].partition("SignedHeaders=")[2]


async def test_a_models_own_region_is_signed_for(database: Database, sandbox: Client, service: Client):
    await register(database, model_region="ap-northeast-1")
    await sandbox.post("invoke", messages_body("hi"))
    (seen,) = await requests_seen(service)
    assert "/ap-northeast-1/bedrock/aws4_request" in dict(seen["headers"])["Authorization"]


async def test_nothing_secret_comes_back(sandbox: Client):
    for said in ("@text hi", "@fail expired", "@fail validation"):
        async with sandbox.session.post(path("invoke"), data=orjson.dumps(messages_body(said))) as answer:
            shown = f"{answer.headers}{await answer.text()}"
            assert all(secret not in shown for secret in (SECRET, TOKEN, "AKIDEXAMPLE", "Signature"))


SMUGGLING = (
    post(path("invoke"), "Transfer-Encoding: chunked", body=b"0\r\n\r\nPOST /evil HTTP/1.1\r\n\r\n"),
    post(path("invoke"), "Content-Length: 3"),
    post(path("invoke"), "Transfer-Encoding: chunked, identity", length=False, body=b"0\r\n\r\n"),
    post(path("invoke"), "Transfer-Encoding: xchunked", length=False, body=b"0\r\n\r\n"),
    post(path("invoke"), "Content-Length: -1", length=False),
    post(path("invoke"), "Content-Length: +5", length=False, body=b"{}   "),
    post(path("invoke"), "Content-Length : 2", length=False, body=b"{}"),
    post(path("invoke"), "X: a\r\n b: folded"),
    post(path("invoke"), "Transfer-Encoding: chunked", length=False, body=b"zz\r\n{}\r\n0\r\n\r\n"),
    post(path("invoke"), "Upgrade: h2c").replace(b"Connection: close", b"Connection: Upgrade, close"),
    post(path("invoke"), "Content-Encoding: gzip"),
    post(path("invoke")).replace(b"HTTP/1.1", b"HTTP/1.0", 1),
    post(path("invoke")).replace(b"HTTP/1.1", b"HTTP/2.0", 1),
    post(path("invoke")).replace(b"\r\n", b"\n", 3),
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(40),
    b"GET\r\n\r\n",
)


@pytest.mark.parametrize("request_bytes", SMUGGLING)
async def test_ambiguous_requests_are_400_and_end_the_connection_or_go_nowhere(
    door: Path, service: Client, request_bytes
):
    answer = await raw(door, request_bytes)
    assert status(answer) == 400
    assert len(re.findall(rb"HTTP/\d\.\d \d{3} ", answer)) == 1
    assert await requests_seen(service) == []


@pytest.mark.parametrize("body", [b"", b"[]", b'"x"', b"{", b'{"a":\xff}', b'{"a":NaN}', b'{"a":"\\ud800"}', b"{}{}"])
async def test_a_body_that_is_no_json_object_is_400(sandbox: Client, service: Client, body):
    async with sandbox.session.post(path("invoke"), data=body) as answer:
        assert (answer.status, answer.headers["x-amzn-ErrorType"]) == (400, "ValidationException")
    assert await requests_seen(service) == []


async def test_a_body_travels_as_it_is(sandbox: Client, service: Client):
    body = BODY[:-1] + b', "anthropic_beta" : ["context-1m"], "big": 123456789012345678901234567890}'
    async with sandbox.session.post(path("invoke"), data=body) as answer:
        assert answer.status == 200
    (seen,) = await requests_seen(service)
    assert f"Signature={expected_signature(seen, body)}" in dict(seen["headers"])["Authorization"]


async def test_a_body_that_says_it_is_too_large_is_413_at_once(door: Path, service: Client):
    head = post(path("invoke"), f"Content-Length: {model_calls.LARGEST_BODY + 1}", length=False, body=b"{")
    assert status(await raw(door, head)) == 413
    assert await requests_seen(service) == []


async def test_a_body_that_turns_out_too_large_is_413(sandbox: Client, service: Client, monkeypatch):
    monkeypatch.setattr(model_calls, "LARGEST_BODY", 100_000)

    async def endless():
        for _ in range(100):
            yield b"x" * 10_000

    async with sandbox.session.post(path("invoke"), data=endless()) as answer:
        assert answer.status == 413
    assert await requests_seen(service) == []


async def test_bodies_held_at_once_are_limited_together(sandbox: Client, service: Client, monkeypatch):
    monkeypatch.setattr(model_calls, "LARGEST_HELD", 10_000)
    large = "@text " + "x" * 6_000
    slow = asyncio.create_task(sandbox.stream("@ttft 0.5\n" + large))
    await until(service.calls)
    assert (await sandbox.stream(large)).status == 429
    assert (await slow).status == 200
    assert (await sandbox.stream(large)).status == 200


async def test_a_body_that_never_comes_is_given_up(door: Path, monkeypatch):
    monkeypatch.setattr(model_calls, "BODY_SECONDS", 0.1)
    reader, writer = await asyncio.open_unix_connection(str(door))
    writer.write(post(path("invoke"))[:-5])
    async with asyncio.timeout(5):
        assert b"400" in await reader.readline()
    writer.close()


async def test_large_headers_are_400(door: Path, service: Client):
    for headers in (
        ["X: " + "x" * 20_000],
        [f"X-{n}: {'x' * 4_000}" for n in range(5)],
        [f"X-{n}: y" for n in range(99)],
    ):
        assert status(await raw(door, post(path("invoke"), *headers))) == 400
    assert await requests_seen(service) == []
