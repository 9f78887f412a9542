"""The end of the server's log, in words for a person."""

import json
from pathlib import Path
from typing import Any

LAST_LINES = 12
LONGEST_LINE = 300
_LEFT_OUT = frozenset({"level", "event", "timestamp", "exception", "request_id"})


def last_words(path: Path) -> list[str]:
    """The last lines, each shortened; of a stack only what it ended with."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return [_readable(line)[:LONGEST_LINE] for line in lines[-LAST_LINES:]]


def _readable(line: str) -> str:
    try:
        entry = json.loads(line)
    except ValueError:
        return line
    return _told(entry) if isinstance(entry, dict) else line


def _told(entry: dict[str, Any]) -> str:
    fields = [f"{name}={value}" for name, value in entry.items() if name not in _LEFT_OUT]
    words = (entry.get("level", ""), _end(entry.get("event")), *fields, _end(entry.get("exception")))
    return " ".join(word for word in words if word)


def _end(text: object) -> str:
    return str(text).strip().rpartition("\n")[2] if text else ""
