"""Where in a workspace an uploaded file goes, and which names are refused.

Names like `.git`, `.claude` and `.mcp.json` are not refused: an agent can make them itself, so it is the runner that
obeys no settings of a workspace, and the sandbox that holds what a hook may do.
"""

import re
from collections.abc import Iterable
from typing import NewType

from app.errors import Detail, PathTraversal, ValidationFailed

UploadPath = NewType("UploadPath", str)
"""Relative to the workspace, beginning with `uploads/`, of names that hide nothing from who reads them."""

FOLDER = "uploads"
LONGEST_NAME = 255
"""Bytes, as file systems count."""
LONGEST_PATH = 1024
"""Bytes, `uploads/` included."""
MOST_LEVELS = 32

_HIDING = re.compile(
    "["
    '"\x00-\x1f\x7f-\x9f'  # quotes and control characters
    "\u2028\u2029"  # ends of lines
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # what turns the direction of writing
    "\ud800-\udfff\ufeff"  # halves of characters, byte order marks
    "]"
)


def upload_path(name: str, field: str) -> UploadPath:
    """Where the file of that relative name goes. Raises PathTraversal or ValidationFailed, each naming the field."""
    refuse_traversal(name, field)
    path = f"{FOLDER}/{name}"
    fault = _fault(path)
    if fault is not None:
        raise ValidationFailed(details=(Detail(field, fault, "file_name"),))
    return UploadPath(path)


def refuse_traversal(name: str, field: str) -> None:
    """Raises PathTraversal for a name that could lead out of a folder, here or elsewhere."""
    if name.startswith(("/", "~")) or "\0" in name or "\\" in name or ".." in name.split("/"):
        raise PathTraversal(details=(Detail(field, "must lead nowhere but down", "path_traversal"),))


def _fault(path: str) -> str | None:
    if _HIDING.search(path):
        return "must hold no quotes, no control characters and nothing that turns the direction of writing"
    names = path.split("/")
    if not {"", "."}.isdisjoint(names):
        return "must name a file, and hold no empty names"
    if len(path.encode()) > LONGEST_PATH or max(len(name.encode()) for name in names) > LONGEST_NAME:
        return f"must have at most {LONGEST_NAME} bytes a name, {LONGEST_PATH} in all"
    if len(names) > MOST_LEVELS:
        return f"must be at most {MOST_LEVELS} levels deep"
    return None


def refuse_collisions(paths: Iterable[tuple[UploadPath, str]]) -> None:
    """Raises ValidationFailed when two paths, given with their fields, cannot both be files."""
    files: set[str] = set()
    folders: set[str] = set()
    for path, field in paths:
        above = set(_above(path))
        if path in files | folders or not files.isdisjoint(above):
            raise ValidationFailed(details=(Detail(field, "must differ from every other file's", "duplicate"),))
        files.add(path)
        folders |= above


def _above(path: str) -> Iterable[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path
