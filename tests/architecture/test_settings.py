"""Settings are read in one place and shown in one file."""

import ast

from tests.architecture.env_example import env_example
from tests.architecture.sources import CHECKOUT, modules

READERS = {"app/config.py"}


def test_the_example_shows_every_setting():
    written = (CHECKOUT / ".env.example").read_text()
    assert written == env_example(), "run: .venv/bin/python -m tests.architecture.env_example > .env.example"


def test_only_the_settings_read_the_environment():
    readers = {str(module.path) for module in modules("app") for node in ast.walk(module.tree) if _reads(node)}
    assert readers <= READERS


def _reads(node: ast.AST) -> bool:
    names = {"environ", "getenv", "environb"}
    return (isinstance(node, ast.Attribute) and node.attr in names) or (isinstance(node, ast.Name) and node.id in names)
