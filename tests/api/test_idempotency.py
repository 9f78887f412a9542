"""Requests with an `Idempotency-Key`."""

import asyncio

import pytest

from app.database import Database
from tests.api.conftest import Answer, Client, Make, Sandboxes

HERE = "/api/tenants/acme/conversations"


def replayed(answer: Answer) -> bool:
    return answer.headers.get("Idempotent-Replayed") == "true"


async def test_a_repeated_request_gets_the_same_answer(client: Client) -> None:
    keyed = client.with_headers(Idempotency_Key="k1")
    first = await keyed.post("/api/tenants", {"tenant_id": "acme"})
    again = await keyed.post("/api/tenants", {"tenant_id": "acme"})
    assert (first.status, replayed(first)) == (201, False)
    assert (again.status, again.text, replayed(again)) == (201, first.text, True)
    assert again.headers["Content-Type"] == first.headers["Content-Type"] == "application/json"


async def test_every_post_that_creates_takes_a_key(client: Client, make_tenant: Make, sandboxes: Sandboxes) -> None:
    await make_tenant("acme")
    keyed = client.with_headers(Idempotency_Key="k1")
    for path, body in (
        ("/api/models", {"model_id": "m", "display_name": "M", "bedrock_model_id": "v.m", "cache_read_price": 0.1}),
        (HERE, {"user_id": "ann"}),
    ):
        first, again = [await keyed.post(path, body) for _ in range(2)]
        assert (first.status, again.text, replayed(again)) == (201, first.text, True)
    assert len(sandboxes.prewarmed) == 1


async def test_a_key_names_one_request_only(client: Client, make_tenant: Make) -> None:
    await make_tenant("acme")
    keyed = client.with_headers(Idempotency_Key="k1")
    await keyed.post(HERE, {"user_id": "ann"})
    assert (await keyed.post(HERE, {"user_id": "bob"})).has(422, "VALIDATION_ERROR")
    assert (await keyed.post(f"{HERE}?a=b", {"user_id": "ann"})).has(422, "VALIDATION_ERROR")
    assert (await client.get(HERE)).body["total"] == 1


async def test_tenants_keys_do_not_meet(client: Client, make_tenant: Make) -> None:
    keyed = client.with_headers(Idempotency_Key="k1")
    for tenant in ("acme", "other"):
        await make_tenant(tenant)
        made = await keyed.post(f"/api/tenants/{tenant}/conversations", {"user_id": "ann"})
        assert (made.status, made.body["tenant_id"], replayed(made)) == (201, tenant, False)


async def test_one_user_does_not_get_anothers_answer(client: Client, make_tenant: Make) -> None:
    await make_tenant("acme")
    body, key = {"user_id": "ann"}, {"Idempotency_Key": "k1"}
    assert (await client.as_user("ann").with_headers(**key).post(HERE, body)).status == 201
    assert (await client.as_user("bob").with_headers(**key).post(HERE, body)).has(422, "VALIDATION_ERROR")


async def test_a_refused_request_leaves_its_key_free(client: Client, make_model: Make) -> None:
    keyed = client.with_headers(Idempotency_Key="k1")
    body = {"tenant_id": "acme", "model_id": "sonnet"}
    assert (await keyed.post("/api/tenants", body)).status == 400
    await make_model("sonnet")
    made = await keyed.post("/api/tenants", body)
    assert (made.status, replayed(made)) == (201, False)


@pytest.mark.parametrize("key", ["", "a b", "a" * 256, "ä", "\t"])
async def test_a_key_of_another_shape_is_refused(client: Client, key: str) -> None:
    refused = await client.with_headers(Idempotency_Key=key).post("/api/tenants", {"tenant_id": "acme"})
    assert refused.has(400, "INVALID_INPUT")
    assert (await client.get("/api/tenants/acme")).status == 404


async def test_the_longest_key_works(client: Client) -> None:
    keyed = client.with_headers(Idempotency_Key="~" * 255)
    answers = [await keyed.post("/api/tenants", {"tenant_id": "acme"}) for _ in range(2)]
    assert [answer.status for answer in answers] == [201, 201]


@pytest.mark.slow
async def test_a_hundred_at_once_make_one_thing(
    client: Client, make_tenant: Make, sandboxes: Sandboxes, database: Database
) -> None:
    await make_tenant("acme")
    keyed = client.with_headers(Idempotency_Key="k1")
    answers = await asyncio.gather(*(keyed.post(HERE, {"user_id": "ann"}) for _ in range(100)))
    assert {answer.status for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1
    assert sum(not replayed(answer) for answer in answers) == 1
    assert (await client.get(HERE)).body["total"] == len(sandboxes.prewarmed) == 1
    assert database.pool_states()["in_use"] == 0
