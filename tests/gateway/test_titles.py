"""Titles by the small model."""

import pytest

from app.database import Database
from app.services.model_gate import Binding, ModelGate
from app.services.title_service import TitleService, _clean
from tests.gateway.conftest import HAIKU, assert_ledger_equals_counters, origin, rows
from tests.standin.client import Client


async def test_a_title_is_made_by_the_small_model_and_metered(
    database: Database, gate: ModelGate, service: Client, binding: Binding
):
    title = await TitleService(gate, HAIKU).title_for(binding.origin, "Plan a garden\nfor bees", 5.0)
    assert title == "Plan a garden for bees"
    (row,) = await rows(database)
    assert binding.run
    assert (row.bedrock_model_id, row.operation, row.run_id) == (HAIKU, "invoke", binding.run.run_id)
    await assert_ledger_equals_counters(database, service)


async def test_no_title_is_no_failure(database: Database, gate: ModelGate, service: Client):
    titles = TitleService(gate, "an.unknown-model")
    assert await titles.title_for(origin(), "hello", 5.0) is None
    await service.control("settings", {"ttft": 2})
    assert await TitleService(gate, HAIKU).title_for(origin(), "\ud800" * 10_000, 5.0)


@pytest.mark.parametrize(
    ("said", "title"),
    [
        ('"Bees in the garden."\n', "Bees in the garden"),
        ("\n\n# Title: **Bees**", "Bees"),
        ("「庭の蜂」", "庭の蜂"),
        ("a\tb\x00c\u2028d", "a b c"),
        ("word " * 30, ("word " * 12).strip() + "…"),
        ("x" * 100, "x" * 59 + "…"),
        ("", None),
        ('""\n', None),
    ],
)
def test_titles_are_cleaned(said, title):
    cleaned = _clean(said)
    assert cleaned == title
    assert cleaned is None or len(cleaned) <= 60
