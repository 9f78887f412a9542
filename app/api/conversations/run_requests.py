"""How a request to run is read: as JSON, or as a form with files."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Annotated, NoReturn, TypeVar

from fastapi import Depends, Request
from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter, ValidationError
from starlette.datastructures import FormData

from app.api.conversations.form_files import read_files
from app.api.conversations.forms import UploadForm
from app.api.dependencies import Running
from app.config import Uploads
from app.errors import Detail, ValidationFailed
from app.schemas.runs import FileMetadata, RunRequest
from app.services.workspace.uploads import UploadedFile

T = TypeVar("T")

_REQUEST = TypeAdapter(RunRequest)
_METADATA = TypeAdapter(tuple[FileMetadata, ...])


@dataclass(frozen=True, slots=True)
class Submission:
    """A request to run, as it came."""

    request: RunRequest
    files: tuple[UploadedFile, ...] = ()
    held: ExitStack = field(default_factory=ExitStack)
    """Closes the files after the route, unless it is emptied by who needs them longer."""
    content: bytes | None = None
    """What a form said, for telling it from another; of JSON the body says it."""


async def _submission(request: Request, runtime: Running) -> AsyncIterator[Submission]:
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        yield Submission(_checked(_REQUEST, _parsed(await request.body(), "body"), "body"))
        return
    held = ExitStack()
    try:
        yield await _of_form(request, held, runtime.settings.uploads)
    finally:
        await asyncio.to_thread(held.close)


async def _of_form(request: Request, held: ExitStack, limits: Uploads) -> Submission:
    form = await UploadForm(request, held, limits).read()
    asked = _field(form, "request_data", _REQUEST)
    if asked is None:
        raise ValidationFailed(details=(Detail("body.request_data", "is required", "missing"),))
    files = await read_files(form, _field(form, "file_metadata", _METADATA))
    said = sha256(str(form["request_data"]).encode(errors="surrogatepass")).hexdigest()
    content = (said, *(file.described() for file in files))
    return Submission(asked, files, held, json.dumps(content).encode())


def _field(form: FormData, name: str, shape: TypeAdapter[T]) -> T | None:
    text = form.get(name)
    if text is None:
        return None
    if not isinstance(text, str):
        raise ValidationFailed(details=(Detail(f"body.{name}", "must not be a file", "string_type"),))
    return _checked(shape, _parsed(text.encode(errors="surrogatepass"), f"body.{name}"), "body", name)


def _parsed(text: bytes, place: str) -> object:
    try:
        return json.loads(text.decode(), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise ValidationFailed(details=(Detail(place, "must be JSON", "json_invalid"),)) from error


def _no_number(literal: str) -> NoReturn:
    raise ValueError(literal)


def _checked(shape: TypeAdapter[T], value: object, *source: str) -> T:
    try:
        return shape.validate_python(value)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False, include_context=False)
        raise RequestValidationError([fault | {"loc": source + fault["loc"]} for fault in faults]) from error


Submitted = Annotated[Submission, Depends(_submission, scope="function")]
