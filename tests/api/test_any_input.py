"""Whatever is sent to these resources: an answer of the contract, never a failure of ours."""

import random
from itertools import product
from typing import Any

import pytest

from app.database import new_id
from app.schemas.common import Input
from app.schemas.conversations import ConversationUpdate
from app.schemas.models import ModelUpdate
from app.schemas.tenants import TenantUpdate
from tests.api.conftest import Client, Make
from tests.api.test_documentation_of_resources import OPERATIONS

SEED = 20_261_123
ROUNDS = 25

STRANGE: list[Any] = [
    None,
    True,
    0,
    -1,
    2**31,
    2**63,
    10**30,
    1.5,
    1e308,
    "",
    " ",
    "\0",
    "\ud800",
    "\u2028",
    "🙂" * 300,
    "a" * 100_001,
    "'; DROP TABLE models; --",
    "%_\\",
    "../../etc/passwd",
    [],
    {},
    [None],
    {"a": {"b": []}},
    "active",
    "sonnet",
    "ann",
    "9999-12-31",
    "0001-01-01T00:00:00+23:59",
]
NAMES = [
    "tenant_id",
    "model_id",
    "user_id",
    "display_name",
    "bedrock_model_id",
    "model_region",
    "context_window",
    "max_output_tokens",
    "status",
    "title",
    "supports_extended_context",
    "extended_context_window",
    "input_token_price",
    "cache_read_price",
    "system_prompt",
    "workspace_enabled",
]
PARAMS = ["limit", "offset", "status", "user_id", "q", "from_date", "to_date", "after_seq", "force", "unknown"]
SEGMENTS = ["acme", "none", "%00", "..%2f..", "%ff%fe", "a" * 300, "*", "'", "🙂"]


def _body(chance: random.Random) -> Any:
    if chance.random() < 0.2:
        return chance.choice(STRANGE)
    return {name: chance.choice(STRANGE) for name in chance.sample(NAMES, chance.randint(0, 6))}


def _params(chance: random.Random) -> dict[str, str]:
    texts = [
        str(value) for value in STRANGE if not isinstance(value, str) or ("\ud800" not in value and len(value) < 999)
    ]
    return {name: chance.choice(texts) for name in chance.sample(PARAMS, chance.randint(0, 3))}


@pytest.mark.slow
@pytest.mark.parametrize(("method", "path"), OPERATIONS)
async def test_the_answer_is_of_the_contract(client: Client, make_conversation: Make, method: str, path: str) -> None:
    chance = random.Random(f"{SEED} {method} {path}")
    conversation = (await make_conversation())["conversation_id"]
    for _ in range(ROUNDS):
        target = path.format(
            tenant_id=chance.choice(["acme", chance.choice(SEGMENTS)]),
            model_id=chance.choice(["sonnet", chance.choice(SEGMENTS)]),
            conversation_id=chance.choice([conversation, new_id(), chance.choice(SEGMENTS)]),
        )
        body, params = _body(chance), _params(chance)
        answer = await client.call(method.upper(), target, json=body, params=params)
        assert answer.status < 500, (method, target, body, params)
        if answer.status >= 400:
            assert answer.error["code"], (method, target, body, params)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "update"),
    [
        ("/api/models/sonnet", ModelUpdate),
        ("/api/tenants/acme", TenantUpdate),
        ("/api/tenants/acme/conversations/{conversation_id}", ConversationUpdate),
    ],
)
async def test_a_field_is_accepted_or_named(
    client: Client, make_conversation: Make, path: str, update: type[Input]
) -> None:
    target = path.format(**await make_conversation())
    for name, value in product(update.model_fields, STRANGE):
        answer = await client.put(target, {name: value})
        assert answer.status in {200, 400, 422}, (name, value)
        if answer.status == 422:
            assert answer.error["details"][0]["field"] == f"body.{name}", answer.text
