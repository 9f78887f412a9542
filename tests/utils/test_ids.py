"""Shapes of identifiers."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.utils.ids import is_chosen_id, parse_uuid


@given(st.uuids())
def test_every_uuid_is_read_back(uuid: UUID) -> None:
    assert parse_uuid(str(uuid)) == parse_uuid(str(uuid).upper()) == uuid


@pytest.mark.parametrize("shape", ["{%s}", "urn:uuid:%s", " %s", "%s\n", "%sa", ""])
def test_other_spellings_are_none(shape: str) -> None:
    text = "0190f2e5-0000-7000-8000-000000000000"
    assert parse_uuid(shape % text if "%s" in shape else shape) is None
    assert parse_uuid(text.replace("-", "")) is None


@given(st.text(max_size=120))
def test_any_text_is_an_id_or_not(text: str) -> None:
    plain = text.isascii() and all(sign.isalnum() or sign in "._@:-" for sign in text)
    assert is_chosen_id(text) == (plain and 1 <= len(text) <= 100 and text not in {".", ".."})
