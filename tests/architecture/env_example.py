"""Writes `.env.example` from the settings: `python -m tests.architecture.env_example > .env.example`."""

import ast
import inspect
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from app.config import ROOT, Settings

HEAD = """\
# Every setting with its default. Copy to .env and uncomment what you change; what the environment says goes first.
# NAME_FILE=path reads the value of NAME from a file instead.
"""


def env_example() -> str:
    return HEAD + "".join(_group(field) for field in Settings.model_fields.values())


def _group(field: FieldInfo) -> str:
    group = field.annotation
    assert isinstance(group, type)
    assert issubclass(group, BaseSettings)
    says = docstrings(group)
    lines = (line for name, setting in group.model_fields.items() for line in _setting(name, setting, says[name]))
    return "\n".join(["", f"# --- {sentence(group)}", *lines, ""])


def _setting(name: str, setting: FieldInfo, says: str) -> Iterator[str]:
    yield from textwrap.wrap(says, 118, initial_indent="# ", subsequent_indent="# ")
    yield f"#{name.upper()}={value(setting.get_default(call_default_factory=True))}"


def value(default: object) -> str:
    match default:
        case None:
            return ""
        case bool():
            return str(default).lower()
        case tuple():
            return ",".join(map(str, default))
        case Path() if default.is_relative_to(ROOT):
            return str(default.relative_to(ROOT))
        case _:
            return str(default)


def sentence(group: type) -> str:
    return " ".join(inspect.getdoc(group).split())


def docstrings(group: type) -> dict[str, str]:
    """The sentence under each field."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(group))).body
    pairs = zip(definition.body, definition.body[1:], strict=False)
    return {field.target.id: _text(below) for field, below in pairs if isinstance(field, ast.AnnAssign)}


def _text(statement: ast.stmt) -> str:
    assert isinstance(statement, ast.Expr), f"the setting above line {statement.lineno} has no sentence"
    return " ".join(ast.literal_eval(statement.value).split())


if __name__ == "__main__":
    sys.stdout.write(env_example())
