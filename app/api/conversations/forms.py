"""Reads a form whose files wait in temporary ones, counted as they arrive."""

from contextlib import ExitStack

from fastapi import Request
from starlette.datastructures import FormData
from starlette.formparsers import MultiPartException, MultiPartParser

from app.config import Uploads
from app.errors import Detail, PayloadTooLarge, ValidationFailed
from app.services.workspace.uploads import largest

MOST_FILES = 100
MOST_FIELDS = 10
LARGEST_FIELD = 8 * 1024 * 1024
KEPT_IN_MEMORY = 64 * 1024


class UploadForm(MultiPartParser):
    """Ends with the first file that is larger than its kind may be; whatever happens, `held` closes its files."""

    spool_max_size = KEPT_IN_MEMORY

    def __init__(self, request: Request, held: ExitStack, limits: Uploads) -> None:
        super().__init__(
            request.headers,
            request.stream(),
            max_files=MOST_FILES,
            max_fields=MOST_FIELDS,
            max_part_size=LARGEST_FIELD,
        )
        self._held = held
        self._limits = limits
        self._largest = self._size = 0
        self._whole = False

    async def read(self) -> FormData:
        """The parts. Raises ValidationFailed for what is no whole form, or has too many parts."""
        try:
            form = await self.parse()
        except MultiPartException as error:
            raise _malformed() from error
        if not self._whole:
            raise _malformed()
        return form

    def on_part_begin(self) -> None:
        """The next part. It is UTF-8 whatever the form says: some of Python's codecs take minutes, others fail."""
        super().on_part_begin()
        self._charset = "utf-8"

    def on_headers_finished(self) -> None:
        """A part begins; its headers are read."""
        super().on_headers_finished()
        file = self._current_part.file
        if file is not None:
            self._held.callback(file.file.close)
            self._largest = largest(file.filename or "", (file.content_type or "").lower(), self._limits)
            self._size = 0

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        """A piece of a part."""
        if self._current_part.file is not None:
            self._size += end - start
            if self._size > self._largest:
                raise PayloadTooLarge(details=(self._too_large(),))
        super().on_part_data(data, start, end)

    def on_end(self) -> None:
        """The form's last line was there."""
        self._whole = True

    def _too_large(self) -> Detail:
        number = sum(name == "files" for name, _ in self.items)
        place = f"body.files.{number}" if self._current_part.field_name == "files" else "body"
        return Detail(place, f"must have at most {self._largest} bytes", "too_large")


def _malformed() -> ValidationFailed:
    message = f"must be a form of at most {MOST_FILES} files and {MOST_FIELDS} other parts"
    return ValidationFailed(details=(Detail("body", message, "form_invalid"),))
