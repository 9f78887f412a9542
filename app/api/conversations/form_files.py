"""The files of a form, each with its place in the workspace."""

import asyncio
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import BinaryIO

from starlette.datastructures import FormData, UploadFile

from app.errors import Detail, RuleBroken, ValidationFailed
from app.schemas.runs import FileMetadata
from app.services.workspace.upload_paths import UploadPath, refuse_collisions, refuse_traversal, upload_path
from app.services.workspace.uploads import UploadedFile

PIECE = 1024 * 1024

_SANE_TYPE = re.compile(r"[ -~]{1,255}")


@dataclass(frozen=True, slots=True)
class _Named:
    """One file, before its content is looked at."""

    path: UploadPath
    field: str
    """What said so."""
    original_name: str
    original_relative_path: str
    content_type: str | None


async def read_files(form: FormData, metadata: Sequence[FileMetadata] | None) -> tuple[UploadedFile, ...]:
    """The parts called `files`, under the names of the metadata or else their own. Raises what refuses them."""
    parts = _parts(form)
    if metadata is not None and len(metadata) != len(parts):
        raise RuleBroken("There must be as many items in file_metadata as there are files.")
    named = list(_by_own_names(parts) if metadata is None else _by_metadata(metadata, parts))
    refuse_collisions((name.path, name.field) for name in named)
    return await asyncio.to_thread(_uploaded, parts, named)


def _parts(form: FormData) -> list[UploadFile]:
    parts = []
    for number, part in enumerate(form.getlist("files")):
        if not isinstance(part, UploadFile):
            raise ValidationFailed(details=(Detail(f"body.files.{number}", "must be a file", "file_type"),))
        parts.append(part)
    return parts


def _by_own_names(parts: Sequence[UploadFile]) -> Iterator[_Named]:
    for number, part in enumerate(parts):
        name, field = part.filename or "", f"body.files.{number}.filename"
        yield _Named(upload_path(name, field), field, name.rpartition("/")[2], name, _sane(part.content_type))


def _by_metadata(metadata: Sequence[FileMetadata], parts: Sequence[UploadFile]) -> Iterator[_Named]:
    for number, (told, part) in enumerate(zip(metadata, parts, strict=True)):
        item = f"body.file_metadata.{number}"
        refuse_traversal(told.filename, f"{item}.filename")
        field = f"{item}.relative_path" if told.relative_path else f"{item}.filename"
        yield _Named(
            path=upload_path(told.relative_path or told.filename, field),
            field=field,
            original_name=told.original_name,
            original_relative_path=told.original_relative_path,
            content_type=told.content_type or _sane(part.content_type),
        )


def _sane(content_type: str | None) -> str | None:
    return content_type if content_type and _SANE_TYPE.fullmatch(content_type) else None


def _uploaded(parts: Sequence[UploadFile], named: Sequence[_Named]) -> tuple[UploadedFile, ...]:
    return tuple(
        UploadedFile(
            path=name.path,
            original_name=name.original_name,
            original_relative_path=name.original_relative_path,
            content_type=name.content_type,
            size=part.size or 0,
            sha256=_digest(part.file),
            content=part.file,
        )
        for part, name in zip(parts, named, strict=True)
    )


def _digest(content: BinaryIO) -> str:
    digest = sha256()
    while piece := content.read(PIECE):
        digest.update(piece)
    content.seek(0)
    return digest.hexdigest()
