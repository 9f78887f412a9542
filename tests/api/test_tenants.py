"""Tenants over HTTP."""

import re
from uuid import UUID

import pytest

from app.database import Database, TenantId, new_id
from app.models import Run
from tests.api.conftest import Client, Make, Sandboxes
from tests.rows import add_run

STAMP = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}Z")


async def test_a_new_tenant_is_active_and_reads_back_the_same(client: Client, make_model: Make) -> None:
    await make_model("sonnet")
    body = {"tenant_id": "acme", "system_prompt": "Be kind. 🙂", "model_id": "sonnet", "unknown": 1}
    made = await client.post("/api/tenants", body)
    assert made.status == 201
    assert {key: made.body[key] for key in ("tenant_id", "system_prompt", "model_id", "status")} == {
        "tenant_id": "acme",
        "system_prompt": "Be kind. 🙂",
        "model_id": "sonnet",
        "status": "active",
    }
    assert STAMP.fullmatch(made.body["created_at"])
    assert STAMP.fullmatch(made.body["updated_at"])
    assert (await client.get("/api/tenants/acme")).body == made.body


async def test_prompt_and_model_are_optional(client: Client) -> None:
    made = await client.post("/api/tenants", {"tenant_id": "a"})
    assert (made.status, made.body["system_prompt"], made.body["model_id"]) == (201, None, None)


async def test_a_taken_id_conflicts(client: Client, make_tenant: Make) -> None:
    await make_tenant("acme")
    assert (await client.post("/api/tenants", {"tenant_id": "acme"})).has(409, "CONFLICT")


async def test_an_unknown_model_is_refused_and_nothing_is_made(client: Client) -> None:
    refused = await client.post("/api/tenants", {"tenant_id": "acme", "model_id": "none"})
    assert refused.has(400, "VALIDATION_ERROR")
    assert refused.error["details"][0]["field"] == "body.model_id"
    assert (await client.get("/api/tenants/acme")).status == 404


async def test_a_deprecated_model_is_refused(client: Client, make_model: Make) -> None:
    await make_model("old", status="deprecated")
    refused = await client.post("/api/tenants", {"tenant_id": "acme", "model_id": "old"})
    assert refused.has(400, "RESOURCE_INACTIVE")


@pytest.mark.parametrize(
    "tenant_id", ["", "a" * 101, "a b", "a/b", "ä", "a\n", "a\0", "*", ".", "..", None, 1, True, ["a"], "\ud800"]
)
async def test_an_id_of_another_shape_is_refused(client: Client, tenant_id: object) -> None:
    refused = await client.post("/api/tenants", {"tenant_id": tenant_id})
    assert refused.has(422, "VALIDATION_ERROR")
    assert refused.error["details"][0]["field"] == "body.tenant_id"


@pytest.mark.parametrize("tenant_id", ["a", "A.b_c@d:e-9", "a" * 100, "..."])
async def test_every_allowed_id_works_in_a_path(client: Client, tenant_id: str) -> None:
    assert (await client.post("/api/tenants", {"tenant_id": tenant_id})).status == 201
    assert (await client.get(f"/api/tenants/{tenant_id}")).body["tenant_id"] == tenant_id


@pytest.mark.parametrize("prompt", ["a\0b", "\ud800", 1, ["a"], "a" * 100_001])
async def test_text_that_cannot_be_kept_is_refused(client: Client, prompt: object) -> None:
    assert (await client.post("/api/tenants", {"tenant_id": "a", "system_prompt": prompt})).has(422, "VALIDATION_ERROR")


async def test_an_update_keeps_what_is_absent_and_clears_what_is_null(client: Client, make_tenant: Make) -> None:
    made = await make_tenant("acme", system_prompt="hello")
    changed = await client.put("/api/tenants/acme", {"system_prompt": None})
    assert (changed.status, changed.body["system_prompt"], changed.body["model_id"]) == (200, None, "sonnet")
    assert changed.body["updated_at"] > made["updated_at"]
    assert changed.body["created_at"] == made["created_at"]
    assert (await client.put("/api/tenants/acme", {"model_id": None})).body["model_id"] is None
    assert (await client.put("/api/tenants/acme", {"system_prompt": "new"})).body["system_prompt"] == "new"


async def test_an_empty_update_changes_nothing(client: Client, make_tenant: Make) -> None:
    made = await make_tenant("acme")
    same = await client.put("/api/tenants/acme", {})
    assert (same.status, same.body) == (200, made)


@pytest.mark.parametrize(
    "body", [{"status": None}, {"status": "deleted"}, {"status": 1}, {"model_id": 5}, [], "x", None]
)
async def test_an_update_of_another_shape_is_refused(client: Client, make_tenant: Make, body: object) -> None:
    await make_tenant("acme")
    assert (await client.put("/api/tenants/acme", body)).has(422, "VALIDATION_ERROR")


async def test_an_update_to_an_unusable_model_is_refused(client: Client, make_tenant: Make, make_model: Make) -> None:
    await make_tenant("acme")
    await make_model("old", status="deprecated")
    assert (await client.put("/api/tenants/acme", {"model_id": "none"})).has(400, "VALIDATION_ERROR")
    assert (await client.put("/api/tenants/acme", {"model_id": "old"})).has(400, "RESOURCE_INACTIVE")


async def test_a_model_deprecated_since_may_be_sent_back_unchanged(client: Client, make_tenant: Make) -> None:
    await make_tenant("acme")
    await client.patch("/api/models/sonnet/status", status="deprecated")
    kept = await client.put("/api/tenants/acme", {"model_id": "sonnet", "system_prompt": "x"})
    assert (kept.status, kept.body["model_id"]) == (200, "sonnet")


async def test_an_inactive_tenant_can_be_read_and_made_active_again(client: Client, make_tenant: Make) -> None:
    await make_tenant("acme")
    assert (await client.put("/api/tenants/acme", {"status": "inactive"})).body["status"] == "inactive"
    assert (await client.get("/api/tenants/acme")).body["status"] == "inactive"
    assert (await client.put("/api/tenants/acme", {"status": "active"})).body["status"] == "active"


async def test_the_list_is_newest_first_filtered_paged_and_counted(client: Client) -> None:
    for number in range(5):
        await client.post("/api/tenants", {"tenant_id": f"t{number}"})
    await client.put("/api/tenants/t1", {"status": "inactive"})
    whole = await client.get("/api/tenants")
    assert [tenant["tenant_id"] for tenant in whole.body] == ["t4", "t3", "t2", "t1", "t0"]
    assert whole.headers["X-Total-Count"] == "5"
    part = await client.get("/api/tenants", limit=2, offset=1, status="active")
    assert [tenant["tenant_id"] for tenant in part.body] == ["t3", "t2"]
    assert part.headers["X-Total-Count"] == "4"
    beyond = await client.get("/api/tenants", offset=50)
    assert (beyond.body, beyond.headers["X-Total-Count"]) == ([], "5")


@pytest.mark.parametrize(
    "params",
    [
        {"limit": 0},
        {"limit": 1001},
        {"limit": "x"},
        {"limit": "1.5"},
        {"offset": -1},
        {"offset": 2**63},
        {"offset": ""},
        {"status": "x"},
        {"status": ""},
    ],
)
async def test_a_query_out_of_range_is_refused(client: Client, params: dict[str, object]) -> None:
    refused = await client.get("/api/tenants", **params)
    assert refused.has(422, "VALIDATION_ERROR")
    assert refused.error["details"][0]["field"] == f"query.{next(iter(params))}"


@pytest.mark.parametrize("tenant_id", ["none", "a%20b", "%00", "a" * 101, "%F0%9F%99%82", "*", "%ff"])
async def test_an_unknown_and_an_impossible_tenant_are_the_same(client: Client, tenant_id: str) -> None:
    answers = [
        await client.get(f"/api/tenants/{tenant_id}"),
        await client.put(f"/api/tenants/{tenant_id}", {}),
        await client.delete(f"/api/tenants/{tenant_id}"),
        await client.get(f"/api/tenants/{tenant_id}/conversations"),
    ]
    assert {(answer.status, answer.error["message"]) for answer in answers} == {(404, "There is no such resource.")}


async def test_an_empty_tenant_can_be_deleted(client: Client, make_tenant: Make) -> None:
    await make_tenant("acme")
    gone = await client.delete("/api/tenants/acme")
    assert (gone.status, gone.text) == (204, "")
    assert (await client.delete("/api/tenants/acme")).has(404, "NOT_FOUND")


async def test_a_tenant_with_conversations_stays_unless_forced(
    client: Client, make_conversation: Make, sandboxes: Sandboxes, database: Database
) -> None:
    made = [await make_conversation() for _ in range(3)]
    other = await make_conversation("other")
    async with database.tenant(TenantId("acme")) as session:
        await add_run(session, TenantId("acme"), UUID(made[0]["conversation_id"]))
    refused = await client.delete("/api/tenants/acme")
    assert refused.has(409, "CONFLICT")
    assert refused.error["details"] == [{"field": "conversations", "message": "3 belong to it", "code": "in_use"}]
    assert refused.error["usage"] == {"conversations": 3}
    assert sandboxes.discarded == []
    assert (await client.delete("/api/tenants/acme", force="true")).status == 204
    assert (await client.get("/api/tenants/acme")).status == 404
    assert sorted(sandboxes.discarded) == sorted(("acme", UUID(one["conversation_id"])) for one in made)
    assert (await client.get(f"/api/tenants/other/conversations/{other['conversation_id']}")).status == 200


async def test_a_deleted_tenants_id_begins_anew(client: Client, make_conversation: Make) -> None:
    conversation = await make_conversation("acme")
    keyed = client.with_headers(Idempotency_Key="k")
    await keyed.post("/api/tenants/acme/conversations", {"user_id": "ann"})
    await client.delete("/api/tenants/acme", force="true")
    await client.post("/api/tenants", {"tenant_id": "acme", "model_id": "sonnet"})
    assert (await client.get("/api/tenants/acme/conversations")).body["total"] == 0
    assert (await client.get(f"/api/tenants/acme/conversations/{conversation['conversation_id']}")).status == 404
    again = await keyed.post("/api/tenants/acme/conversations", {"user_id": "ann"})
    assert (again.status, "Idempotent-Replayed" in again.headers) == (201, False)


async def test_runs_and_events_go_with_a_forced_tenant(
    client: Client, make_conversation: Make, database: Database
) -> None:
    conversation = await make_conversation("acme")
    acme = TenantId("acme")
    async with database.tenant(acme) as session:
        run_id = await add_run(session, acme, UUID(conversation["conversation_id"]))
    await client.delete("/api/tenants/acme", force="true")
    async with database.platform_read() as session:
        assert await session.get(Run, (acme, run_id)) is None


async def test_force_must_be_a_truth_value(client: Client, make_tenant: Make) -> None:
    await make_tenant("acme")
    assert (await client.delete("/api/tenants/acme", force="perhaps")).has(422, "VALIDATION_ERROR")


async def test_an_unused_new_id_is_no_tenant(client: Client) -> None:
    assert (await client.get(f"/api/tenants/{new_id()}")).has(404, "NOT_FOUND")
