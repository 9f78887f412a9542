"""How a request to run is read: as JSON, or as a form with files."""

import json
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Depends, Request
from pydantic import ValidationError
from starlette.datastructures import FormData

from app.api.bodies import read_json
from app.errors import Detail, ValidationFailed
from app.schemas.runs import RunRequest

MOST_FILES = 100
MOST_FIELDS = 10
LARGEST_FIELD = 8 * 1024 * 1024


def _checked(value: object, source: Sequence[str]) -> RunRequest:
    try:
        return RunRequest.model_validate(value)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False, include_context=False)
        raise ValidationFailed(details=tuple(_detail(fault, source) for fault in faults)) from error


def _detail(fault: Any, source: Sequence[str]) -> Detail:  # noqa: ANN401 -- pydantic's TypedDict of a fault
    field = ".".join((*source, *(str(part) for part in fault["loc"])))
    return Detail(field, fault["msg"], fault["type"])


async def _of_json(request: Request) -> RunRequest:
    try:
        body = await read_json(request)
    except json.JSONDecodeError as error:
        detail = Detail("body", "must be a JSON object", "json_invalid")
        raise ValidationFailed(details=(detail,)) from error
    return _checked(body, ("body",))


async def _of_form(request: Request) -> RunRequest:
    form = await request.form(max_files=MOST_FILES, max_fields=MOST_FIELDS, max_part_size=LARGEST_FIELD)
    try:
        return _checked(_object(form), ("body", "request_data"))
    finally:
        await form.close()


def _object(form: FormData) -> object:
    text = form.get("request_data")
    if not isinstance(text, str):
        raise ValidationFailed(details=(Detail("body.request_data", "is required", "missing"),))
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        detail = Detail("body.request_data", "must be the text of a JSON object", "json_invalid")
        raise ValidationFailed(details=(detail,)) from error


async def _run_request(request: Request) -> RunRequest:
    is_form = request.headers.get("content-type", "").lower().startswith("multipart/form-data")
    return await (_of_form(request) if is_form else _of_json(request))


AnyRunRequest = Annotated[RunRequest, Depends(_run_request)]
