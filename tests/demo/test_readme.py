"""The README in its two languages."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
ENGLISH, JAPANESE = "README.md", "README.ja.md"

LINK = re.compile(r"\]\(([^)#]+)\)")
BLOCK = re.compile(r"```\w*\n(.*?)```", re.DOTALL)
COMMENT = re.compile(r" *# .*")
LANGUAGES = {ENGLISH, JAPANESE}


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(name: str) -> list[str]:
    return [COMMENT.sub("", block) for block in BLOCK.findall(text(name))]


def outline(name: str) -> list[str]:
    """The kinds of its lines that a translation keeps: headings, and the rows of tables."""
    return re.findall(r"^(?:#+|\|)(?= )", BLOCK.sub("", text(name)), re.MULTILINE)


def test_both_languages_say_the_same_in_the_same_order() -> None:
    assert blocks(ENGLISH) == blocks(JAPANESE)
    assert outline(ENGLISH) == outline(JAPANESE)
    assert set(LINK.findall(text(ENGLISH))) ^ set(LINK.findall(text(JAPANESE))) == LANGUAGES


@pytest.mark.parametrize("page", [ENGLISH, JAPANESE, *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))])
def test_every_link_within_the_checkout_leads_somewhere(page: str) -> None:
    links = [link for link in LINK.findall(text(page)) if "://" not in link]
    assert [link for link in links if not (ROOT / page).parent.joinpath(link).exists()] == []
