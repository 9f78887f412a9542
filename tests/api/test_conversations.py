"""Conversations over HTTP."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import update

from app.database import Database, TenantId, new_id
from app.models import Conversation
from tests.api.conftest import Client, Make, Sandboxes
from tests.rows import add_message, add_run, add_usage

ACME = TenantId("acme")
HERE = "/api/tenants/acme/conversations"

MALFORMED = ["x", "1", "00000000", "{%s}", "urn:uuid:%s", "%00", "%s0", "%F0%9F%99%82"]


async def date(database: Database, conversation: dict[str, Any], **columns: datetime) -> None:
    async with database.tenant(ACME) as session:
        key = UUID(conversation["conversation_id"])
        await session.execute(update(Conversation).where(Conversation.conversation_id == key).values(columns))


def ids(answer: Any) -> list[str]:
    return [item["conversation_id"] for item in answer.body["items"]]


async def test_a_new_conversation_takes_the_tenants_model_and_gets_a_sandbox(
    client: Client, make_tenant: Make, sandboxes: Sandboxes
) -> None:
    await make_tenant("acme")
    made = await client.post(HERE, {"user_id": "ann", "unknown": 1})
    assert made.status == 201
    key = UUID(made.body["conversation_id"])
    assert key.version == 7
    assert {name: value for name, value in made.body.items() if not name.endswith("_at")} == {
        "conversation_id": str(key),
        "session_id": None,
        "tenant_id": "acme",
        "user_id": "ann",
        "model_id": "sonnet",
        "title": None,
        "status": "active",
        "workspace_enabled": True,
        "total_input_tokens": 0,
        "total_output_tokens": 0,
        "estimated_context_tokens": 0,
        "context_limit_reached": False,
    }
    assert (await client.get(f"{HERE}/{key}")).body == made.body
    assert sandboxes.prewarmed == [("acme", key)]


async def test_another_active_model_can_be_named(client: Client, make_tenant: Make, make_model: Make) -> None:
    await make_tenant("acme")
    await make_model("opus")
    made = await client.post(HERE, {"user_id": "ann", "model_id": "opus", "workspace_enabled": False})
    assert (made.status, made.body["model_id"], made.body["workspace_enabled"]) == (201, "opus", False)


@pytest.mark.parametrize(("model_id", "code"), [("none", "VALIDATION_ERROR"), ("old", "RESOURCE_INACTIVE")])
async def test_an_unusable_model_is_refused_and_leaves_nothing(
    client: Client, make_tenant: Make, make_model: Make, sandboxes: Sandboxes, model_id: str, code: str
) -> None:
    await make_tenant("acme")
    await make_model("old", status="deprecated")
    refused = await client.post(HERE, {"user_id": "ann", "model_id": model_id})
    assert refused.has(400, code)
    assert refused.error["details"][0]["field"] == "body.model_id"
    assert (await client.get(HERE)).body["total"] == 0
    assert sandboxes.prewarmed == []


async def test_a_tenant_without_a_usable_model_needs_one_named(client: Client, make_tenant: Make) -> None:
    await make_tenant("acme")
    await client.patch("/api/models/sonnet/status", status="deprecated")
    assert (await client.post(HERE, {"user_id": "ann"})).has(400, "RESOURCE_INACTIVE")
    await client.put("/api/tenants/acme", {"model_id": None})
    assert (await client.post(HERE, {"user_id": "ann"})).has(400, "VALIDATION_ERROR")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"user_id": ""},
        {"user_id": None},
        {"user_id": "a b"},
        {"user_id": "a" * 101},
        {"user_id": 1},
        {"user_id": "ann", "model_id": ""},
        {"user_id": "ann", "workspace_enabled": "yes"},
        {"user_id": "ann", "workspace_enabled": None},
        [],
        None,
    ],
)
async def test_a_body_of_another_shape_is_refused(client: Client, make_tenant: Make, body: object) -> None:
    await make_tenant("acme")
    assert (await client.post(HERE, body)).has(422, "VALIDATION_ERROR")


async def test_an_unknown_tenant_has_no_conversations(client: Client) -> None:
    nowhere = "/api/tenants/none/conversations"
    answers = [
        await client.get(nowhere),
        await client.post(nowhere, {"user_id": "ann"}),
        await client.get(f"{nowhere}/{new_id()}"),
        await client.put(f"{nowhere}/{new_id()}", {}),
        await client.delete(f"{nowhere}/{new_id()}"),
        await client.post(f"{nowhere}/{new_id()}/archive"),
        await client.get(f"{nowhere}/{new_id()}/messages"),
    ]
    assert {(answer.status, answer.error["message"]) for answer in answers} == {(404, "There is no such resource.")}


async def answers_for(client: Client, tenant: str, key: str) -> set[tuple[int, str, str]]:
    one = f"/api/tenants/{tenant}/conversations/{key}"
    answers = [
        await client.get(one),
        await client.put(one, {"title": "mine"}),
        await client.post(f"{one}/archive", {}),
        await client.get(f"{one}/messages"),
        await client.delete(one),
        await client.delete(one, force="true"),
    ]
    return {(answer.status, answer.error["code"], answer.error["message"]) for answer in answers}


@pytest.mark.parametrize("shape", MALFORMED)
async def test_foreign_unknown_and_malformed_ids_are_answered_alike(
    client: Client, make_conversation: Make, make_tenant: Make, shape: str
) -> None:
    foreign = await make_conversation("other", user_id="bob")
    await make_tenant("acme")
    malformed = shape % new_id() if "%s" in shape else shape
    answers = [await answers_for(client, "acme", key) for key in (foreign["conversation_id"], str(new_id()), malformed)]
    assert answers == [{(404, "NOT_FOUND", "There is no such resource.")}] * 3
    assert (await client.get(f"/api/tenants/other/conversations/{foreign['conversation_id']}")).body == foreign


async def test_a_users_caller_sees_only_its_own(client: Client, make_conversation: Make) -> None:
    anns, bobs = await make_conversation(user_id="ann"), await make_conversation(user_id="bob")
    ann = client.as_user("ann")
    assert ids(await ann.get(HERE)) == [anns["conversation_id"]]
    assert ids(await ann.get(HERE, user_id="bob")) == []
    assert (await ann.get(f"{HERE}/{anns['conversation_id']}")).status == 200
    expected = {(404, "NOT_FOUND", "There is no such resource.")}
    assert await answers_for(ann, "acme", bobs["conversation_id"]) == expected
    assert (await client.get(f"{HERE}/{bobs['conversation_id']}")).body == bobs


async def test_a_users_caller_opens_conversations_for_itself_only(client: Client, make_tenant: Make) -> None:
    await make_tenant("acme")
    ann = client.as_user("ann")
    assert (await ann.post(HERE, {"user_id": "ann"})).status == 201
    assert (await ann.post(HERE, {"user_id": "bob"})).has(403, "FORBIDDEN")


async def test_a_header_naming_another_tenant_is_forbidden(client: Client, make_conversation: Make) -> None:
    key = (await make_conversation())["conversation_id"]
    same, other = client.with_headers(X_Tenant_ID="acme"), client.with_headers(X_Tenant_ID="other")
    assert (await same.get(HERE)).status == 200
    assert (await other.get(HERE)).has(403, "FORBIDDEN")
    assert (await other.post(HERE, {"user_id": "ann"})).has(403, "FORBIDDEN")
    assert (await other.get(f"{HERE}/{key}")).has(403, "FORBIDDEN")
    assert (await other.delete(f"{HERE}/{key}")).has(403, "FORBIDDEN")


async def test_an_inactive_tenant_refuses_writes_and_can_be_read(
    client: Client, make_conversation: Make, sandboxes: Sandboxes
) -> None:
    made = await make_conversation()
    one = f"{HERE}/{made['conversation_id']}"
    await client.put("/api/tenants/acme", {"status": "inactive"})
    refused = [
        await client.post(HERE, {"user_id": "ann"}),
        await client.put(one, {"title": "x"}),
        await client.post(f"{one}/archive"),
        await client.delete(one, force="true"),
    ]
    assert {(answer.status, answer.error["code"]) for answer in refused} == {(400, "RESOURCE_INACTIVE")}
    assert (await client.get(one)).body == made
    assert (await client.get(HERE)).body["total"] == 1
    assert (await client.get(f"{one}/messages")).body == []
    assert (len(sandboxes.prewarmed), sandboxes.discarded) == (1, [])


async def test_an_update_keeps_what_is_absent_and_clears_what_is_null(client: Client, make_conversation: Make) -> None:
    made = await make_conversation()
    one = f"{HERE}/{made['conversation_id']}"
    titled = await client.put(one, {"title": "Plans 🙂", "user_id": "bob", "total_input_tokens": 5})
    assert titled.body == made | {"title": "Plans 🙂", "updated_at": titled.body["updated_at"]}
    assert titled.body["updated_at"] > made["updated_at"]
    assert (await client.put(one, {})).body == titled.body
    archived = await client.put(one, {"status": "archived"})
    assert (archived.body["status"], archived.body["title"]) == ("archived", "Plans 🙂")
    assert (await client.put(one, {"status": "active", "title": None})).body["title"] is None


@pytest.mark.parametrize(
    "body",
    [{"status": None}, {"status": "x"}, {"title": "a" * 501}, {"title": 5}, {"title": "a\0"}, {"title": "\udfff"}, []],
)
async def test_an_update_of_another_shape_is_refused(client: Client, make_conversation: Make, body: object) -> None:
    made = await make_conversation()
    assert (await client.put(f"{HERE}/{made['conversation_id']}", body)).has(422, "VALIDATION_ERROR")


async def test_archiving_again_changes_nothing(client: Client, make_conversation: Make) -> None:
    one = f"{HERE}/{(await make_conversation())['conversation_id']}"
    first = await client.call("POST", f"{one}/archive")
    again = await client.post(f"{one}/archive", {})
    assert (first.status, first.body["status"]) == (200, "archived")
    assert (again.status, again.body) == (200, first.body)


async def test_deleting_removes_all_but_the_usage(
    client: Client, make_conversation: Make, database: Database, sandboxes: Sandboxes
) -> None:
    key = UUID((await make_conversation())["conversation_id"])
    async with database.tenant(ACME) as session:
        run_id = await add_run(session, ACME, key, status="succeeded")
        await add_message(session, ACME, key, 1, run_id=run_id)
        await add_usage(session, ACME, conversation_id=key, run_id=run_id)
    assert (await client.delete(f"{HERE}/{key}")).status == 204
    assert (await client.get(f"{HERE}/{key}")).status == 404
    assert sandboxes.discarded == [("acme", key)]
    refused = await client.delete("/api/models/sonnet")
    assert refused.error["usage"] == {"tenants": 1, "conversations": 0, "usage_logs": 1}


@pytest.mark.parametrize("status", ["queued", "running", "waiting"])
async def test_a_busy_conversation_stays_unless_forced(
    client: Client, make_conversation: Make, database: Database, sandboxes: Sandboxes, status: str
) -> None:
    key = UUID((await make_conversation())["conversation_id"])
    async with database.tenant(ACME) as session:
        run_id = await add_run(session, ACME, key, status=status)
    refused = await client.delete(f"{HERE}/{key}")
    assert refused.has(409, "RESOURCE_LOCKED")
    assert refused.error["run_id"] == str(run_id)
    assert sandboxes.discarded == []
    assert (await client.delete(f"{HERE}/{key}", force="true")).status == 204
    assert sandboxes.discarded == [("acme", key)]


async def test_the_list_is_latest_first_filtered_and_paged(client: Client, make_conversation: Make) -> None:
    made = [(await make_conversation(user_id=user))["conversation_id"] for user in ("ann", "bob", "ann", "ann")]
    await client.put(f"{HERE}/{made[0]}", {"title": "touched"})
    await client.put(f"{HERE}/{made[2]}", {"status": "archived"})
    whole = await client.get(HERE)
    assert ids(whole) == [made[2], made[0], made[3], made[1]]
    assert {name: whole.body[name] for name in ("total", "limit", "offset")} == {"total": 4, "limit": 50, "offset": 0}
    part = await client.get(HERE, user_id="ann", limit=1, offset=1)
    assert (ids(part), part.body["total"], part.body["limit"], part.body["offset"]) == ([made[0]], 3, 1, 1)
    assert ids(await client.get(HERE, status="archived")) == [made[2]]
    assert ids(await client.get(HERE, offset=4)) == []


async def test_titles_are_searched_whatever_their_case_and_signs(client: Client, make_conversation: Make) -> None:
    found = {}
    for title in ("Tax 100%", "tax 1000", "a_b", "axb", "C:\\temp", "Über/allem", None):
        found[title] = (await make_conversation())["conversation_id"]
        await client.put(f"{HERE}/{found[title]}", {"title": title})
    for text, titles in {
        "TAX": {"Tax 100%", "tax 1000"},
        "100%": {"Tax 100%"},
        "A_B": {"a_b"},
        "\\": {"C:\\temp"},
        "/": {"Über/allem"},
        "über": {"Über/allem"},
        "nothing": set(),
        "": set(found),
    }.items():
        assert set(ids(await client.get(HERE, q=text))) == {found[title] for title in titles}, text


async def test_both_ends_of_a_period_belong_to_it(client: Client, make_conversation: Make, database: Database) -> None:
    """The server's zone is nine hours ahead of UTC."""
    first, last = await make_conversation(), await make_conversation()
    await date(database, first, created_at=datetime(2026, 3, 1, 15, tzinfo=UTC))
    await date(database, last, created_at=datetime(2026, 3, 3, 14, 59, 59, 999_999, tzinfo=UTC))
    both, none = {first["conversation_id"], last["conversation_id"]}, set[str]()
    for start, end, expected in (
        ("2026-03-02", "2026-03-03", both),
        ("2026-03-02T00:00", "2026-03-03T23:59:59.999999", both),
        ("2026-03-01T15:00:00Z", "2026-03-03T14:59:59.999999Z", both),
        ("2026-03-02T00:00:00+09:00", "2026-03-03T23:59:59.999999 09:00", both),
        ("2026-03-02T00:00:00.000001", "2026-03-03T23:59:59.999998", none),
        ("2026-03-03", None, {last["conversation_id"]}),
        (None, "2026-03-02", {first["conversation_id"]}),
        ("2026-03-04", "9999-12-31", none),
        ("0001-01-02", "2026-03-01", none),
    ):
        params = {name: value for name, value in (("from_date", start), ("to_date", end)) if value}
        assert set(ids(await client.get(HERE, **params))) == expected, params


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("from_date", "yesterday"),
        ("from_date", "2026-02-30"),
        ("from_date", "2026-13-01"),
        ("from_date", "2026-01-01T25:00"),
        ("from_date", ""),
        ("from_date", "0001-01-01"),
        ("to_date", "9999-12-31T23:59:59-23:59"),
        ("to_date", "1767225600"),
        ("to_date", "2026-01-01\0"),
        ("to_date", "9" * 100),
        ("limit", "0"),
        ("limit", "101"),
        ("offset", "-1"),
        ("offset", str(2**63)),
        ("status", "deleted"),
        ("user_id", "a b"),
        ("user_id", "\0"),
        ("q", "\0"),
        ("q", "a" * 501),
    ],
)
async def test_a_query_out_of_range_is_named(client: Client, make_tenant: Make, name: str, value: str) -> None:
    await make_tenant("acme")
    refused = await client.get(HERE, **{name: value})
    assert refused.has(422, "VALIDATION_ERROR")
    assert refused.error["details"][0]["field"] == f"query.{name}"


async def test_a_period_that_ends_before_it_begins_is_refused(client: Client, make_tenant: Make) -> None:
    await make_tenant("acme")
    refused = await client.get(HERE, from_date="2026-03-02", to_date="2026-03-01")
    assert refused.has(422, "VALIDATION_ERROR")
    assert refused.error["details"][0]["field"] == "query.to_date"


async def test_pages_put_together_are_the_list_even_if_all_are_as_late(
    client: Client, make_conversation: Make, database: Database
) -> None:
    moment = datetime.now(UTC) - timedelta(days=1)
    made = [await make_conversation() for _ in range(7)]
    for conversation in made:
        await date(database, conversation, updated_at=moment)
    paged = [key for offset in range(0, 7, 2) for key in ids(await client.get(HERE, limit=2, offset=offset))]
    assert sorted(paged) == sorted(conversation["conversation_id"] for conversation in made)
