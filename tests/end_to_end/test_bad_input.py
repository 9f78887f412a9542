"""What a conversation's routes refuse, in which words, and that it leaves nothing behind."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest

from tests.end_to_end.client import EXECUTOR, Talk, connected, message, status_of
from tests.end_to_end.conftest import House

pytestmark = [pytest.mark.needs_cli, pytest.mark.needs_bubblewrap, pytest.mark.slow]

MEBIBYTE = 1024 * 1024
NOT_IDS = ("x", "0", "%00", "%2e%2e", f"{{{uuid4()}}}", uuid4().hex, f"{uuid4()}%20", "é", "a" * 300)
TABLES = ("runs", "events", "messages", "usage_logs", "idempotency_keys", "session_entries", "conversations")


@dataclass(frozen=True)
class Refused:
    """A request, and how it must be refused."""

    status: int
    code: str
    path: str
    body: object = None
    method: str = "POST"
    more: dict[str, Any] = field(default_factory=dict)

    async def check(self, talk: Talk) -> None:
        answer = await talk.api.call(self.method, self.path, self.body, **self.more)
        told = (self.method, self.path[-80:], str(self.body or self.more)[:200], answer.raw[:300])
        assert (answer.status, answer.error["code"]) == (self.status, self.code), told
        assert answer.error["message"]
        assert "Traceback" not in answer.raw.decode()


async def footprint(house: House) -> dict[str, object]:
    """Everything a request could leave: rows, sandboxes, files."""
    counts = {table: (await house.rows(f"SELECT count(*) FROM {table}"))[0][0] for table in TABLES}
    files = {str(path) for name in ("workspaces", "objects") for path in (house.data / name).rglob("*")}
    boxes = {path.name for path in Path(house.data / "sandboxes").glob("*/boxes/*")}
    return {**counts, "files": files, "boxes": boxes}


async def used(house: House, **fields: object) -> Talk:
    """A conversation that has a sandbox, so that none is on its way."""
    talk = await house.talk(await house.tenant(**fields))
    assert status_of(await talk.turn("@text here")) == "success"
    return talk


def at_both(talk: Talk, status: int, code: str, body: object = None, **more: Any) -> Iterable[Refused]:
    for route in ("stream", "runs"):
        yield Refused(status, code, f"{talk.path}/{route}", body, more=more)


def wrong_bodies(talk: Talk) -> Iterable[Refused]:
    texts = ("", "{", "[]", "null", '"x"', "[" * 100_000, '{"user_input": NaN}', "{} {}", b"\xff\xfe", b'{"a": "\xed"}')
    for text in texts:
        yield from at_both(talk, 422, "VALIDATION_ERROR", data=text, headers={"Content-Type": "application/json"})
    whole = message("@text x")
    for name in whole:
        yield from at_both(talk, 422, "VALIDATION_ERROR", {key: value for key, value in whole.items() if key != name})
    for text in ("", "x" * 1_000_001, "a\0b", None, 7, ["x"]):
        yield from at_both(talk, 422, "VALIDATION_ERROR", whole | {"user_input": text})
    half = json.dumps(whole | {"user_input": "\ud800"})
    yield from at_both(talk, 422, "VALIDATION_ERROR", data=half, headers={"Content-Type": "application/json"})
    for wrong in ({"user_id": "a b"}, {"user_id": ""}, {"name": None}, {"email": "\0"}, {"user_id": "x" * 101}):
        yield from at_both(talk, 422, "VALIDATION_ERROR", whole | {"executor": EXECUTOR | wrong})
    fields = {"max_turns": 0, "permission_mode": "root", "effort": "most", "tokens": {"a": 1}, "model_id": "a b"}
    for name, value in fields.items():
        yield from at_both(talk, 422, "VALIDATION_ERROR", whole | {name: value})
    yield from at_both(talk, 400, "VALIDATION_ERROR", whole | {"model_id": "unknown"})


def wrong_forms(talk: Talk) -> Iterable[Refused]:
    whole = json.dumps(message("@text x"))
    forms: list[tuple[int, str, Callable[[aiohttp.FormData], object]]] = [
        (422, "VALIDATION_ERROR", lambda form: form.add_field("other", "x")),
        (422, "VALIDATION_ERROR", lambda form: form.add_field("request_data", "{")),
        (422, "VALIDATION_ERROR", lambda form: form.add_field("request_data", whole, filename="a.json")),
        (422, "VALIDATION_ERROR", lambda form: [form.add_field("request_data", whole) for _ in range(50)]),
    ]
    for status, code, fill in forms:
        form = aiohttp.FormData(default_to_multipart=True)
        fill(form)
        yield from at_both(talk, status, code, data=form)
    cut = f'--b\r\nContent-Disposition: form-data; name="request_data"\r\n\r\n{whole}'
    for boundary in ("; boundary=b", "; boundary=other", ""):
        kind = {"Content-Type": f"multipart/form-data{boundary}"}
        yield from at_both(talk, 422, "VALIDATION_ERROR", data=cut, headers=kind)


def wrong_callers(talk: Talk, other: Talk) -> Iterable[Refused]:
    whole, runs = message("@text x"), f"{talk.path}/runs"
    theirs = (("GET", runs), ("GET", f"{runs}/{uuid4()}"), ("POST", f"{runs}/{uuid4()}/cancel"))
    for method, path in (*theirs, ("POST", runs), ("POST", f"{talk.path}/stream")):
        body = whole if method == "POST" else None
        for headers in ({"X-API-Key": ""}, {"X-API-Key": "wrong-wrong-wrong-wrong"}):
            yield Refused(401, "UNAUTHORIZED", path, body, method, {"headers": headers})
        yield Refused(403, "FORBIDDEN", path, body, method, {"headers": {"X-Tenant-ID": other.tenant}})
        yield Refused(404, "NOT_FOUND", path, body, method, {"headers": {"X-User-ID": "bob"}})
        elsewhere = path.replace(talk.tenant, other.tenant)
        yield Refused(404, "NOT_FOUND", elsewhere, body, method)
        yield Refused(404, "NOT_FOUND", path.replace(talk.tenant, "nobody"), body, method)
        for wrong in (str(uuid4()), *NOT_IDS):
            yield Refused(404, "NOT_FOUND", path.replace(talk.id, wrong), body, method)
    for wrong in NOT_IDS:
        yield Refused(404, "NOT_FOUND", f"{runs}/{wrong}/events", method="GET")
        yield Refused(404, "NOT_FOUND", f"{runs}/{wrong}/cancel")
    stranger = whole | {"executor": EXECUTOR | {"user_id": "bob"}}
    yield from at_both(talk, 403, "FORBIDDEN", stranger, headers={"X-User-ID": "ann"})


def wrong_methods(talk: Talk) -> Iterable[Refused]:
    for method, path in (("GET", "stream"), ("DELETE", "runs"), ("PUT", f"runs/{uuid4()}"), ("PATCH", "stream")):
        yield Refused(405, "METHOD_NOT_ALLOWED", f"{talk.path}/{path}", method=method)


async def test_what_is_refused_is_told_in_one_shape_and_leaves_nothing(house: House) -> None:
    talk, other, archived, inactive = await asyncio.gather(*(used(house) for _ in range(4)))
    await house.api.ask("POST", f"{archived.path}/archive")
    await house.api.ask("PUT", f"/api/tenants/{inactive.tenant}", {"status": "inactive"})
    before = await footprint(house)
    whole = message("@text x")
    refused = [
        *wrong_bodies(talk),
        *wrong_forms(talk),
        *wrong_callers(talk, other),
        *wrong_methods(talk),
        *at_both(archived, 400, "RESOURCE_INACTIVE", whole),
        *at_both(inactive, 400, "RESOURCE_INACTIVE", whole),
    ]
    for one in refused:
        await one.check(talk)
    await check_large_bodies(talk)
    assert await footprint(house) == before
    assert status_of(await talk.turn("@text alive")) == "success"


async def check_large_bodies(talk: Talk) -> None:
    """Told as soon as they are too large, not when they end."""

    async def for_ever() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 65536

    for body in (BytesIO(b'"' + b"x" * 9 * MEBIBYTE + b'"'), for_ever()):
        async with connected(talk.api.url) as api:
            with suppress(aiohttp.ClientOSError):  # the end of the body was not waited for
                answer = await api.call("POST", f"{talk.path}/runs", data=body)
                assert (answer.status, answer.error["code"]) == (413, "PAYLOAD_TOO_LARGE")


async def test_a_busy_conversation_refuses_a_second_run_and_a_run_is_cancelled_once(house: House, talk: Talk) -> None:
    async with talk.streaming('@text so far\n@tool Bash {"command": "sleep 60"}') as stream:
        await stream.until("tool_call")
        before = await footprint(house)
        for route in ("stream", "runs"):
            answer = await house.api.call("POST", f"{talk.path}/{route}", message("@text me too"))
            assert (answer.status, answer.error["code"]) == (409, "RESOURCE_LOCKED")
            assert answer.error["run_id"] == stream.run_id
        answer = await house.api.call("DELETE", talk.path)
        assert (answer.status, answer.error["run_id"]) == (409, stream.run_id)
        after = await footprint(house)
        assert all(after[kind] == before[kind] for kind in ("runs", "messages", "idempotency_keys", "files", "boxes"))
        first, second = await talk.cancel(stream.run_id), await talk.cancel(stream.run_id)
        assert (first.status, first.body["run_id"]) == (202, stream.run_id)
        assert (second.status, second.error["code"]) == (409, "CONFLICT")
        assert status_of(await stream.rest()) == "cancelled"
    third = await talk.cancel(stream.run_id)
    assert (third.status, third.error["code"]) == (409, "CONFLICT")
    assert (await talk.messages())[1]["content"]["text"] == "so far"
    assert status_of(await talk.turn("@text free again")) == "success"
