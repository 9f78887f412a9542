"""Files that come with a message."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import BinaryIO

from app.config import Uploads
from app.services.workspace.upload_paths import UploadPath

MEBIBYTE = 1024 * 1024
WORKSPACE = "/workspace"
"""Where agents see it."""

_IMAGES = frozenset(
    {".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".svg", ".heic", ".avif", ".ico"}
)
_OFFICE = frozenset(
    {
        ".doc",
        ".docx",
        ".docm",
        ".xls",
        ".xlsx",
        ".xlsm",
        ".xlsb",
        ".ppt",
        ".pptx",
        ".pptm",
        ".odt",
        ".ods",
        ".odp",
        ".rtf",
    }
)
_OFFICE_TYPES = (
    "application/msword",
    "application/rtf",
    "application/vnd.ms-excel",
    "application/vnd.ms-powerpoint",
    "application/vnd.openxmlformats-officedocument.",
    "application/vnd.oasis.opendocument.",
)


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """One of them. Its content can be read for as long as whoever holds it keeps it open."""

    path: UploadPath
    original_name: str
    original_relative_path: str | None
    content_type: str | None
    """As the client says."""
    size: int
    sha256: str
    content: BinaryIO = field(repr=False, compare=False)

    def described(self) -> dict[str, object]:
        """What is kept of it with the message."""
        return {
            "path": self.path,
            "original_name": self.original_name,
            "original_relative_path": self.original_relative_path,
            "content_type": self.content_type,
            "size": self.size,
            "sha256": self.sha256,
        }


def largest(name: str, content_type: str, limits: Uploads) -> int:
    """Bytes that a file may have. Only its limit depends on what it claims to be."""
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in _IMAGES or content_type.startswith("image/"):
        return limits.upload_image_mebibytes * MEBIBYTE
    if suffix == ".pdf" or content_type.startswith("application/pdf"):
        return limits.upload_pdf_mebibytes * MEBIBYTE
    if suffix in _OFFICE or content_type.startswith(_OFFICE_TYPES):
        return limits.upload_office_mebibytes * MEBIBYTE
    return limits.upload_other_mebibytes * MEBIBYTE


def with_files(text: str, files: Sequence[UploadedFile]) -> str:
    """What the agent is told: which files came, then the user's own words."""
    if not files:
        return text
    return "\n".join(("The user uploaded these files:", *(f"- {WORKSPACE}/{file.path}" for file in files), "", text))
