"""Names of uploaded files."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import AppError, PathTraversal, ValidationFailed
from app.services.workspace.upload_paths import LONGEST_PATH, UploadPath, refuse_collisions, upload_path

FIELD = "body.files.0.filename"


@pytest.mark.parametrize(
    "name",
    [
        "a.txt",
        "data/2026/a b.csv",
        "報告書.xlsx",
        "naïve.md",
        "a..b",
        "...",
        ".hidden",
        "a~",
        "folder/~lock",
        "it's.txt",
        "$(id).txt",
        "%2e%2e%2fa",
        "\N{FULLWIDTH FULL STOP}\N{FULLWIDTH FULL STOP}/a",
        "woman\N{ZERO WIDTH JOINER}.png",
        "uploads/a",
        ".git/hooks/pre-commit",
        ".claude/settings.json",
        ".mcp.json",
        "n" * 255,
        "/".join(["folder"] * 30) + "/a",
    ],
)
def test_a_plain_name_is_kept_as_it_is(name: str) -> None:
    assert upload_path(name, FIELD) == f"uploads/{name}"


@pytest.mark.parametrize(
    "name",
    [
        "..",
        "../a",
        "a/..",
        "a/../b",
        "a/b/../../../c",
        "/etc/passwd",
        "//a",
        "/",
        "~",
        "~/.ssh/authorized_keys",
        "~root/a",
        "a\0b",
        "a\\b",
        "..\\a",
        "C:\\a",
    ],
)
def test_a_name_that_leads_out_is_a_traversal(name: str) -> None:
    with pytest.raises(PathTraversal) as refused:
        upload_path(name, FIELD)
    assert (refused.value.status, refused.value.details[0].field) == (403, FIELD)
    assert name not in refused.value.details[0].message


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "a/",
        "a//b",
        "./a",
        "a/.",
        "a\nb",
        "a\rb",
        "a\tb",
        "a\x1b[2Jb",
        "a\x7f",
        "a\x85b",
        "a\u2028b",
        'a"b',
        "txt.\u202eexe",
        "\u2066a",
        "a\u200f",
        "a\ud800",
        "\ufeffa",
        "n" * 256,
        "é" * 128,
        "/".join(["n" * 200] * 6),
        "/".join(["a"] * 32),
    ],
)
def test_an_odd_or_overlong_name_is_malformed(name: str) -> None:
    with pytest.raises(ValidationFailed) as refused:
        upload_path(name, FIELD)
    assert (refused.value.status, refused.value.details[0].field) == (422, FIELD)


@given(st.text(st.characters(codec=None), max_size=300) | st.from_regex(r"[a./~\\]{0,20}", fullmatch=True))
def test_whatever_is_let_through_stays_in_its_folder(name: str) -> None:
    try:
        path = upload_path(name, FIELD)
    except AppError:
        return
    first, *parts = path.split("/")
    assert first == "uploads"
    assert parts
    assert {"", ".", ".."}.isdisjoint(parts)
    assert path.isprintable() or not any(part in path for part in "\0\n\r\\")
    assert len(path.encode()) <= LONGEST_PATH


@pytest.mark.parametrize("paths", [("a", "b"), ("a/b", "a/c"), ("a", "A"), ("a", "ab/c"), ()])
def test_different_files_go_together(paths: tuple[str, ...]) -> None:
    refuse_collisions([(UploadPath(f"uploads/{path}"), path) for path in paths])


@pytest.mark.parametrize("paths", [("a", "a"), ("a/b", "c", "a/b"), ("a", "a/b"), ("a/b/c", "a"), ("a/b/c", "a/b")])
def test_one_place_cannot_hold_two(paths: tuple[str, ...]) -> None:
    with pytest.raises(ValidationFailed) as refused:
        refuse_collisions([(UploadPath(f"uploads/{path}"), path) for path in paths])
    assert refused.value.details[0].field == paths[-1]
