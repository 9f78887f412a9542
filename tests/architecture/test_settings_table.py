"""The documented settings are the real ones."""

from tests.architecture.settings_table import settings_table
from tests.architecture.sources import CHECKOUT


def test_the_table_of_settings_is_the_one_that_the_settings_make() -> None:
    written = (CHECKOUT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert written == settings_table(), "run: .venv/bin/python -m tests.architecture.settings_table > docs/settings.md"
