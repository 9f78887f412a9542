"""A run that is asked for twice by one key is one run."""

import asyncio
from collections import Counter

import pytest

from tests.end_to_end.client import Answer, Talk, form, message, raw, status_of
from tests.end_to_end.conftest import House

pytestmark = [pytest.mark.needs_cli, pytest.mark.needs_bubblewrap, pytest.mark.slow]


async def runs_of(talk: Talk) -> int:
    return int((await talk.api.ask("GET", f"{talk.path}/runs"))["total"])


async def test_a_stream_asked_for_again_is_replayed_byte_for_byte(talk: Talk) -> None:
    path, headers = f"{talk.path}/stream", {"Idempotency-Key": "one"}
    async with talk.api.stream("POST", path, message("@text once"), headers=headers) as first:
        whole = await first.rest()
        assert "Idempotent-Replayed" not in first.response.headers
    async with talk.api.stream("POST", path, message("@text once"), headers=headers) as second:
        assert raw(await second.rest()) == raw(whole)
        assert second.response.headers["Idempotent-Replayed"] == "true"
        assert second.run_id == first.run_id
    for body, route in ((message("@text twice"), "stream"), (message("@text once"), "runs")):
        answer = await talk.api.call("POST", f"{talk.path}/{route}", body, headers=headers)
        assert (answer.status, answer.error["code"]) == (422, "VALIDATION_ERROR")
    for key in ("", "a b", "é", "x" * 256):
        answer = await talk.api.call("POST", path, message("@text once"), headers={"Idempotency-Key": key})
        assert (answer.status, answer.error["code"]) == (400, "INVALID_INPUT"), key
    assert await runs_of(talk) == 1


async def test_a_form_sent_again_is_the_same_request_whatever_its_boundary(talk: Talk) -> None:
    path, headers = f"{talk.path}/stream", {"Idempotency-Key": "form"}
    async with talk.api.stream("POST", path, data=form("@text once"), headers=headers) as first:
        whole = await first.rest()
    async with talk.api.stream("POST", path, data=form("@text once"), headers=headers) as second:
        assert raw(await second.rest()) == raw(whole)
    answer = await talk.api.call("POST", path, data=form("@text twice"), headers=headers)
    assert answer.status == 422
    assert await runs_of(talk) == 1


async def test_a_request_repeated_while_its_run_is_live_names_the_run(house: House, talk: Talk) -> None:
    path, headers = f"{talk.path}/runs", {"Idempotency-Key": "live"}
    body = message('@tool Bash {"command": "until [ -e go ]; do sleep 0.05; done"}\n@text gone')
    run = await talk.api.ask("POST", path, body, headers=headers)
    async with talk.following(run["run_id"]) as stream:
        await stream.until("tool_call")
        answer = await talk.api.call("POST", path, body, headers=headers)
        assert (answer.status, answer.error["run_id"]) == (409, run["run_id"])
        (house.workspace(talk) / "go").touch()
        assert status_of(await stream.rest()) == "success"
    replayed = await talk.api.call("POST", path, body, headers=headers)
    assert (replayed.status, replayed.body["run_id"]) == (202, run["run_id"])
    assert replayed.headers["Idempotent-Replayed"] == "true"


@pytest.mark.parametrize("as_form", [False, True], ids=["JSON", "form"])
async def test_twenty_requests_at_once_with_one_key_begin_one_run(house: House, talk: Talk, as_form: bool) -> None:
    async def ask() -> Answer:
        more = {"data": form("@text once")} if as_form else {"body": message("@text once")}
        return await talk.api.call("POST", f"{talk.path}/runs", **more, headers={"Idempotency-Key": "many"})

    answers = await asyncio.gather(*(ask() for _ in range(20)))
    told = Counter(answer.status for answer in answers)
    assert told[202] >= 1
    assert told[202] + told[409] == 20
    run_ids = {answer.body["run_id"] if answer.status == 202 else answer.error["run_id"] for answer in answers}
    assert len(run_ids) == 1
    assert status_of(await talk.events(run_ids.pop())) == "success"
    assert await runs_of(talk) == 1
    rows = await house.rows("SELECT count(*) FROM messages WHERE conversation_id::text = $1", talk.id)
    assert rows[0][0] == 2
