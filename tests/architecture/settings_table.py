"""Writes `docs/settings.md` from the settings: `python -m tests.architecture.settings_table > docs/settings.md`."""

import sys
from collections.abc import Iterator
from typing import Literal, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from app.config import Settings
from tests.architecture.env_example import docstrings, sentence, value

HEAD = """\
# Settings

Every setting is an environment variable. A file `.env` in the folder the server is started in gives the ones that the
environment does not. `NAME_FILE` names a file whose content is the value of `NAME`, for secrets above all. An empty
value counts as none. `.env.example` has the same list to copy from.

This page is written from `app/config.py`; a test keeps it so.
"""

BOUNDS = {"ge": "≥ {}", "gt": "> {}", "le": "≤ {}", "lt": "< {}"}


def settings_table() -> str:
    return HEAD + "".join(_group(field) for field in Settings.model_fields.values())


def _group(field: FieldInfo) -> str:
    group = field.annotation
    says = docstrings(group)
    rows = (_row(name, setting, says[name]) for name, setting in group.model_fields.items())
    head = ("| Setting | Default | Allowed | Meaning |", "|---|---|---|---|")
    return "\n".join(["", f"## {group.__name__}", "", sentence(group), "", *head, *rows, ""])


def _row(name: str, setting: FieldInfo, says: str) -> str:
    default = value(setting.get_default(call_default_factory=True))
    return f"| `{name.upper()}` | {f'`{default}`' if default else 'none'} | {_allowed(setting)} | {says} |"


def _allowed(setting: FieldInfo) -> str:
    annotation = setting.annotation
    if get_origin(annotation) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(annotation))
    if annotation is bool:
        return "`true`, `false`"
    if SecretStr in {annotation, *get_args(annotation)}:
        return "secret"
    return ", ".join(_bounds(setting))


def _bounds(setting: FieldInfo) -> Iterator[str]:
    for rule in setting.metadata:
        for name, words in BOUNDS.items():
            bound = getattr(rule, name, None)
            if bound is not None:
                yield words.format(bound)


if __name__ == "__main__":
    sys.stdout.write(settings_table())
