"""Models over HTTP."""

import pytest

from app.database import Database, TenantId
from tests.api.conftest import Client, Make
from tests.rows import add_usage

PRICES = (
    "input_token_price",
    "output_token_price",
    "cache_creation_5m_price",
    "cache_creation_1h_price",
    "cache_read_price",
)
LEAST = {"model_id": "m", "display_name": "M", "bedrock_model_id": "v.m-1:0"}


async def post_raw(client: Client, text: bytes) -> int:
    made = await client.call("POST", "/api/models", data=text, headers={"Content-Type": "application/json"})
    return made.status


async def test_a_new_model_has_the_documented_defaults(client: Client) -> None:
    made = await client.post("/api/models", LEAST | {"unknown": {}})
    assert made.status == 201
    fields = {key: value for key, value in made.body.items() if key not in {"created_at", "updated_at"}}
    assert fields == LEAST | {
        "model_region": None,
        "context_window": 200_000,
        "max_output_tokens": 64_000,
        "supports_extended_context": False,
        "extended_context_window": None,
        "status": "active",
    } | dict.fromkeys(PRICES, "0.000000")
    assert (await client.get("/api/models/m")).body == made.body


async def test_every_field_can_be_given(client: Client) -> None:
    given = (
        LEAST
        | {
            "model_region": "eu-west-1",
            "context_window": 1,
            "max_output_tokens": 2_147_483_647,
            "supports_extended_context": True,
            "extended_context_window": 1_000_000,
            "status": "deprecated",
        }
        | dict.fromkeys(PRICES, "99999999.999999")
    )
    made = await client.post("/api/models", given)
    assert (made.status, given.items() <= made.body.items()) == (201, True)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (b'"0.003"', "0.003000"),
        (b'"0.003000"', "0.003000"),
        (b"0.003", "0.003000"),
        (b"3", "3.000000"),
        (b"3e-3", "0.003000"),
        (b"0.000001", "0.000001"),
        (b"12345678.123457", "12345678.123457"),
        (b"99999999.999999", "99999999.999999"),
        (b"0.1", "0.100000"),
        (b"-0", "0.000000"),
        (b'"007"', "7.000000"),
    ],
)
async def test_a_price_is_read_exactly(client: Client, written: bytes, read: str) -> None:
    text = b'{"model_id":"m","display_name":"M","bedrock_model_id":"v","cache_read_price":%b}' % written
    assert await post_raw(client, text) == 201
    assert (await client.get("/api/models/m")).body["cache_read_price"] == read


@pytest.mark.parametrize(
    "written",
    [
        b"-0.1",
        b'"-1"',
        b"NaN",
        b"Infinity",
        b"-Infinity",
        b'"NaN"',
        b'"Infinity"',
        b"0.0000001",
        b"0.10000000000000000001",
        b'"0.0000001"',
        b"1e-7",
        b"100000000",
        b"1e999999",
        b'"1e2"',
        b'""',
        b'" 1"',
        b'"1_0"',
        b'"\\u0661"',
        b"true",
        b"null",
        b"[]",
        b"{}",
        b"9" * 5000,
        b"1" + b"0" * 4300,
    ],
)
async def test_a_price_that_is_none_is_refused(client: Client, written: bytes) -> None:
    text = b'{"model_id":"m","display_name":"M","bedrock_model_id":"v","input_token_price":%b}' % written
    assert await post_raw(client, text) == 422


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"x"',
        b"5",
        b"\xff{}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"model_id": nul}',
        b"\xef\xbb\xbf{}",
        LEAST.__repr__().encode(),
    ],
)
async def test_a_body_that_is_no_json_object_is_refused(client: Client, text: bytes) -> None:
    assert await post_raw(client, text) == 422


async def test_a_body_of_another_kind_is_refused(client: Client) -> None:
    refused = await client.call("POST", "/api/models", data=b"model_id=m", headers={"Content-Type": "text/plain"})
    assert refused.has(422, "VALIDATION_ERROR")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model_id", "a b"),
        ("display_name", ""),
        ("display_name", "a" * 201),
        ("display_name", None),
        ("bedrock_model_id", ""),
        ("bedrock_model_id", "a" * 201),
        ("bedrock_model_id", "a\0"),
        ("model_region", ""),
        ("model_region", "a" * 51),
        ("model_region", "evil.example/#"),
        ("context_window", 0),
        ("context_window", -1),
        ("context_window", 2**31),
        ("context_window", "200000"),
        ("context_window", 1.5),
        ("context_window", True),
        ("context_window", None),
        ("max_output_tokens", 0),
        ("extended_context_window", 0),
        ("supports_extended_context", "yes"),
        ("supports_extended_context", 1),
        ("status", "retired"),
    ],
)
async def test_a_field_out_of_range_is_named(client: Client, field: str, value: object) -> None:
    refused = await client.post("/api/models", LEAST | {field: value})
    assert refused.has(422, "VALIDATION_ERROR")
    assert refused.error["details"][0]["field"] == f"body.{field}"


@pytest.mark.parametrize("field", LEAST)
async def test_a_missing_field_is_named(client: Client, field: str) -> None:
    refused = await client.post("/api/models", {key: value for key, value in LEAST.items() if key != field})
    assert [detail["field"] for detail in refused.error["details"]] == [f"body.{field}"]


async def test_a_taken_id_conflicts(client: Client, make_model: Make) -> None:
    await make_model("m")
    assert (await client.post("/api/models", LEAST)).has(409, "CONFLICT")


async def test_the_list_is_by_name_filtered_and_counted(client: Client, make_model: Make) -> None:
    for model_id, name in (("a", "Zed"), ("b", "Beta"), ("d", "Alpha"), ("c", "Alpha")):
        await make_model(model_id, display_name=name)
    await client.patch("/api/models/b/status", status="deprecated")
    whole = await client.get("/api/models")
    assert [model["model_id"] for model in whole.body] == ["c", "d", "b", "a"]
    assert whole.headers["X-Total-Count"] == "4"
    assert [model["model_id"] for model in (await client.get("/api/models", status="deprecated")).body] == ["b"]
    assert (await client.get("/api/models", status="x")).has(422, "VALIDATION_ERROR")


async def test_an_update_changes_any_subset_but_the_id(client: Client, make_model: Make) -> None:
    made = await make_model("m", model_region="us-east-1", extended_context_window=5, input_token_price="1")
    changed = await client.put("/api/models/m", {"model_id": "other", "input_token_price": 2, "model_region": None})
    assert changed.status == 200
    assert changed.body == made | {
        "input_token_price": "2.000000",
        "model_region": None,
        "updated_at": changed.body["updated_at"],
    }
    assert changed.body["updated_at"] > made["updated_at"]
    assert (await client.put("/api/models/m", {"extended_context_window": None})).body[
        "extended_context_window"
    ] is None
    assert (await client.put("/api/models/m", {"status": "deprecated"})).body["status"] == "deprecated"


async def test_an_empty_update_changes_nothing(client: Client, make_model: Make) -> None:
    made = await make_model("m")
    assert (await client.put("/api/models/m", {})).body == made
    assert (await client.put("/api/models/m", {"model_id": "x"})).body == made


@pytest.mark.parametrize("field", ["display_name", "bedrock_model_id", "context_window", "status", *PRICES])
async def test_null_is_refused_where_there_must_be_a_value(client: Client, make_model: Make, field: str) -> None:
    await make_model("m")
    refused = await client.put("/api/models/m", {field: None})
    assert refused.has(422, "VALIDATION_ERROR")
    assert refused.error["details"][0]["field"] == f"body.{field}"


async def test_a_status_is_set_and_taken_back(client: Client, make_model: Make) -> None:
    await make_model("m")
    assert (await client.patch("/api/models/m/status", status="deprecated")).body["status"] == "deprecated"
    assert (await client.patch("/api/models/m/status", status="active")).body["status"] == "active"
    assert (await client.patch("/api/models/m/status", status="x")).has(422, "VALIDATION_ERROR")
    assert (await client.patch("/api/models/m/status")).has(422, "VALIDATION_ERROR")


async def test_an_unused_model_can_be_deleted(client: Client, make_model: Make) -> None:
    await make_model("m")
    assert (await client.delete("/api/models/m")).status == 204
    assert (await client.get("/api/models/m")).has(404, "NOT_FOUND")


async def test_a_used_model_stays_and_tells_who_uses_it(
    client: Client, make_conversation: Make, database: Database
) -> None:
    await make_conversation("acme")
    await make_conversation("other")
    async with database.tenant(TenantId("gone")) as session:
        await add_usage(session, TenantId("gone"), model_id="sonnet")
    refused = await client.delete("/api/models/sonnet")
    assert refused.has(409, "CONFLICT")
    assert refused.error["usage"] == {"tenants": 2, "conversations": 2, "usage_logs": 1}
    assert {(detail["field"], detail["code"]) for detail in refused.error["details"]} == {
        ("tenants", "in_use"),
        ("conversations", "in_use"),
        ("usage_logs", "in_use"),
    }
    for tenant in ("acme", "other"):
        await client.delete(f"/api/tenants/{tenant}", force="true")
    refused = await client.delete("/api/models/sonnet")
    assert [detail["field"] for detail in refused.error["details"]] == ["usage_logs"]
    assert (await client.get("/api/models/sonnet")).status == 200


@pytest.mark.parametrize("model_id", ["none", "a%20b", "%00", "a" * 101])
async def test_an_unknown_and_an_impossible_model_are_the_same(client: Client, model_id: str) -> None:
    answers = [
        await client.get(f"/api/models/{model_id}"),
        await client.put(f"/api/models/{model_id}", {"display_name": "x"}),
        await client.delete(f"/api/models/{model_id}"),
        await client.patch(f"/api/models/{model_id}/status", status="active"),
    ]
    assert {(answer.status, answer.error["code"]) for answer in answers} == {(404, "NOT_FOUND")}
