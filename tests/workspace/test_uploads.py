"""What an uploaded file may weigh, and what an agent hears of it."""

from io import BytesIO

import pytest

from app.config import Uploads
from app.services.workspace.upload_paths import UploadPath
from app.services.workspace.uploads import MEBIBYTE, UploadedFile, largest, with_files


@pytest.mark.parametrize(
    ("name", "content_type", "mebibytes"),
    [
        ("a.png", "", 1),
        ("A.JPEG", "", 1),
        ("photo", "image/heic", 1),
        ("a.pdf", "application/octet-stream", 2),
        ("scan", "application/pdf; version=1.7", 2),
        ("a.docx", "", 3),
        ("table", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", 3),
        ("a.csv", "text/csv", 4),
        ("a.docx.exe", "", 4),
        ("docx", "", 4),
        ("", "", 4),
    ],
)
def test_the_kind_of_a_file_sets_its_limit(name: str, content_type: str, mebibytes: int) -> None:
    limits = Uploads(
        upload_image_mebibytes=1, upload_pdf_mebibytes=2, upload_office_mebibytes=3, upload_other_mebibytes=4
    )
    assert largest(name, content_type, limits) == mebibytes * MEBIBYTE


def test_the_agent_hears_of_files_before_the_users_words() -> None:
    files = [
        UploadedFile(UploadPath(f"uploads/{name}"), name, None, None, 1, "0", BytesIO()) for name in ("a.csv", "b/c d")
    ]
    told = with_files("Sum them up.", files)
    assert told == (
        "The user uploaded these files:\n- /workspace/uploads/a.csv\n- /workspace/uploads/b/c d\n\nSum them up."
    )


def test_without_files_the_words_are_all() -> None:
    assert with_files("hello", ()) == "hello"
