"""Messages over HTTP."""

from uuid import UUID

import pytest

from app.database import Database, TenantId
from tests.api.conftest import Client, Make
from tests.rows import add_message, add_run

ACME = TenantId("acme")


@pytest.fixture
async def here(make_conversation: Make, database: Database) -> str:
    """The messages of a conversation with five of them, beside another with one."""
    key, other = [UUID((await make_conversation())["conversation_id"]) for _ in range(2)]
    async with database.tenant(ACME) as session:
        for seq in (2, 1, 3, 5, 4):
            await add_message(session, ACME, key, seq)
        await add_message(session, ACME, other, 1)
    return f"/api/tenants/acme/conversations/{key}/messages"


async def test_messages_are_listed_in_their_order(client: Client, here: str) -> None:
    listed = await client.get(here)
    assert [message["message_seq"] for message in listed.body] == [1, 2, 3, 4, 5]
    assert listed.headers["X-Total-Count"] == "5"


async def test_pages_and_what_came_after_can_be_read(client: Client, here: str) -> None:
    part = await client.get(here, limit=2, offset=1)
    assert ([message["message_seq"] for message in part.body], part.headers["X-Total-Count"]) == ([2, 3], "5")
    later = await client.get(here, after_seq=3, limit=1)
    assert ([message["message_seq"] for message in later.body], later.headers["X-Total-Count"]) == ([4], "2")
    assert (await client.get(here, after_seq=2_147_483_647)).body == []


async def test_a_message_says_what_was_said(client: Client, make_conversation: Make, database: Database) -> None:
    key = UUID((await make_conversation())["conversation_id"])
    content = {"type": "assistant", "text": "a\0b 🙂", "events": [{"event": "assistant", "data": {"seq": 1}}]}
    async with database.tenant(ACME) as session:
        run_id = await add_run(session, ACME, key)
        own = {"message_type": "assistant", "message_subtype": "partial", "content": content, "run_id": run_id}
        message_id = await add_message(session, ACME, key, 1, **own)
    (said,) = (await client.get(f"/api/tenants/acme/conversations/{key}/messages")).body
    assert said == {
        "message_id": str(message_id),
        "conversation_id": str(key),
        "message_seq": 1,
        "message_type": "assistant",
        "message_subtype": "partial",
        "content": content,
        "timestamp": said["timestamp"],
        "run_id": str(run_id),
    }


async def test_a_message_may_have_no_content(client: Client, make_conversation: Make, database: Database) -> None:
    key = UUID((await make_conversation())["conversation_id"])
    async with database.tenant(ACME) as session:
        await add_message(session, ACME, key, 1, message_type="system", content=None)
    (said,) = (await client.get(f"/api/tenants/acme/conversations/{key}/messages")).body
    assert (said["content"], said["run_id"], said["message_subtype"]) == (None, None, None)


@pytest.mark.parametrize(
    ("name", "value"),
    [("limit", 0), ("limit", 1001), ("offset", -1), ("after_seq", -1), ("after_seq", 2**31), ("after_seq", "x")],
)
async def test_a_query_out_of_range_is_named(client: Client, here: str, name: str, value: object) -> None:
    refused = await client.get(here, **{name: value})
    assert refused.has(422, "VALIDATION_ERROR")
    assert refused.error["details"][0]["field"] == f"query.{name}"
