"""Files that are refused leave nothing behind."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

import pytest

from tests.api.conftest import KEY, Make
from tests.api.uploads.conftest import Desk
from tests.api.uploads.spelled import ASKED, BOUNDARY, MEBIBYTE, Part, body, field, file, told, typed
from tests.execution.conftest import until


@pytest.mark.parametrize(("files", "items"), [(1, 0), (1, 2), (0, 1), (2, 1)])
async def test_metadata_and_files_go_together(desk: Desk, files: int, items: int) -> None:
    metadata = [told(str(number)) for number in range(items)]
    sent = await desk.send(*(file(str(number)) for number in range(files)), field("file_metadata", metadata))
    assert sent.has(400, "VALIDATION_ERROR")
    assert await desk.untouched()


def without(name: str) -> dict[str, object]:
    return {key: value for key, value in told().items() if key != name}


@pytest.mark.parametrize(
    ("metadata", "place"),
    [
        (b"", ""),
        (b"[", ""),
        (b"[NaN]", ""),
        (b"\xff", ""),
        (b"[" * 100_000, ""),
        (None, ""),
        ({}, ""),
        ("a", ""),
        ([None], ".0"),
        (["a"], ".0"),
        ([without("filename")], ".0.filename"),
        ([without("original_name")], ".0.original_name"),
        ([without("relative_path")], ".0.relative_path"),
        ([without("original_relative_path")], ".0.original_relative_path"),
        ([told(relative_path=None)], ".0.relative_path"),
        ([told(relative_path=["a"])], ".0.relative_path"),
        ([told(original_name="a\0")], ".0.original_name"),
        ([told(original_name="n" * 1025)], ".0.original_name"),
        ([told(original_relative_path="\ud800")], ".0.original_relative_path"),
        ([told(content_type=1)], ".0.content_type"),
        ([told(content_type="t" * 256)], ".0.content_type"),
        ([told(size=-1)], ".0.size"),
        ([told(size="1")], ".0.size"),
        ([told(size=1.5)], ".0.size"),
    ],
)
async def test_malformed_metadata_is_told_by_its_field(desk: Desk, metadata: object, place: str) -> None:
    sent = await desk.send(file(), field("file_metadata", metadata))
    assert sent.has(422, "VALIDATION_ERROR")
    assert sent.error["details"][0]["field"] == f"body.file_metadata{place}"
    assert await desk.untouched()


@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("../a", 403, "PATH_TRAVERSAL"),
        ("a/../../b", 403, "PATH_TRAVERSAL"),
        ("/etc/passwd", 403, "PATH_TRAVERSAL"),
        ("~/a", 403, "PATH_TRAVERSAL"),
        ("a\0b", 403, "PATH_TRAVERSAL"),
        ("a\\b", 403, "PATH_TRAVERSAL"),
        ("a\nb", 422, "VALIDATION_ERROR"),
        ('a"b', 422, "VALIDATION_ERROR"),
        ("txt.\u202eexe", 422, "VALIDATION_ERROR"),
        ("a\ud800", 422, "VALIDATION_ERROR"),
        ("a//b", 422, "VALIDATION_ERROR"),
        ("./a", 422, "VALIDATION_ERROR"),
        ("a/", 422, "VALIDATION_ERROR"),
        ("n" * 256, 422, "VALIDATION_ERROR"),
        ("/".join(["n" * 250] * 5), 422, "VALIDATION_ERROR"),
        ("/".join(["n"] * 40), 422, "VALIDATION_ERROR"),
    ],
)
async def test_a_name_that_leads_elsewhere_or_hides_something_is_refused(
    desk: Desk, name: str, status: int, code: str
) -> None:
    sent = await desk.send(file("ok"), file("b"), field("file_metadata", [told("ok"), told(name)]))
    assert sent.has(status, code)
    assert [detail["field"] for detail in sent.error["details"]] == ["body.file_metadata.1.relative_path"]
    assert await desk.untouched()


@pytest.mark.parametrize(
    ("name", "status"),
    [
        (b"../a", 403),
        (b"/a", 403),
        (b"~a", 403),
        (b"a\0b", 403),
        (b"a\\\\b", 403),
        (b"", 422),
        (b"\xe2\x80\xaea", 422),
        (b"a\x01", 422),
    ],
)
async def test_a_files_own_name_is_checked_as_well(desk: Desk, name: bytes, status: int) -> None:
    sent = await desk.send(file("ok"), file(name))
    assert sent.status == status, sent.text
    assert sent.error["details"][0]["field"] == "body.files.1.filename"
    assert await desk.untouched()


async def test_a_file_name_that_the_path_does_not_use_may_not_lead_out_either(desk: Desk) -> None:
    sent = await desk.send(file(), field("file_metadata", [told("a", filename="../a")]))
    assert sent.has(403, "PATH_TRAVERSAL")
    assert sent.error["details"][0]["field"] == "body.file_metadata.0.filename"


@pytest.mark.parametrize("paths", [("a", "b", "a"), ("a", "b/c", "b")])
async def test_two_files_cannot_have_one_place(desk: Desk, paths: Sequence[str]) -> None:
    sent = await desk.send(*map(file, paths))
    assert sent.has(422, "VALIDATION_ERROR")
    assert sent.error["details"] == [
        {"field": "body.files.2.filename", "message": "must differ from every other file's", "code": "duplicate"}
    ]
    assert await desk.untouched()


@pytest.mark.parametrize(
    ("name", "content_type", "mebibytes"),
    [("a.png", None, 1), ("a.pdf", None, 2), ("a.xlsx", None, 3), ("a", "application/pdf", 2), ("a.txt", None, 1)],
)
async def test_each_kind_has_its_limit(desk: Desk, name: str, content_type: str | None, mebibytes: int) -> None:
    lie = field("file_metadata", [told("a"), told("b", size=1, content_type="application/pdf")])
    over = file(name, b"x" * (mebibytes * MEBIBYTE + 1), content_type)
    sent = await desk.send(file("ok"), over, lie)
    assert sent.has(413, "PAYLOAD_TOO_LARGE")
    assert sent.error["details"][0]["field"] == "body.files.1"
    assert await desk.untouched()
    await desk.finished(await desk.send(file("ok"), replace(over, content=over.content[:-1]), lie))
    assert len(desk.files()["uploads/b"]) == mebibytes * MEBIBYTE


async def test_parts_of_other_names_are_counted_and_ignored(desk: Desk) -> None:
    other = Part("other", b"x" * (MEBIBYTE + 1), "a")
    sent = await desk.send(other)
    assert sent.has(413, "PAYLOAD_TOO_LARGE")
    assert sent.error["details"][0]["field"] == "body"
    await desk.finished(await desk.send(replace(other, content=b"x" * MEBIBYTE), Part("more", b"words")))
    assert desk.files() == {}


FORM = f"multipart/form-data; boundary={BOUNDARY}"
WHOLE = body(file("a", b"x" * 200_000))


@pytest.mark.parametrize(
    ("raw", "content_type"),
    [
        (WHOLE[: -len(BOUNDARY) - 8], FORM),
        (WHOLE[:100_000], FORM),
        (WHOLE, "multipart/form-data"),
        (WHOLE, "multipart/form-data; boundary=other"),
        (b"", FORM),
        (b"junk", FORM),
        (WHOLE.replace(b'name="files"; ', b""), FORM),
        (body(*map(file, map(str, range(101)))), FORM),
        (body(*[field("x", 1)] * 10), FORM),
        (body(Part("files", b"text")), FORM),
        (body(Part("file_metadata", b"[]", "a")), FORM),
        (body(asked={}), FORM),
        (body(asked=[]), FORM),
        (WHOLE.replace(b"request_data", b"request_date"), FORM),
    ],
)
async def test_what_is_no_whole_form_is_malformed(desk: Desk, raw: bytes, content_type: str) -> None:
    sent = await desk.send_raw(raw, {"Content-Type": content_type})
    assert sent.has(422, "VALIDATION_ERROR")
    assert sent.error["details"][0]["field"].startswith("body")
    assert await desk.untouched()


async def test_faults_of_the_request_are_told_by_their_field_and_do_not_repeat_it(desk: Desk) -> None:
    said = ASKED | {"user_input": 1, "tokens": {"<b>secret": 1}}
    for answer, source in (
        (await desk.send_raw(body(asked=said), typed()), "body.request_data"),
        (await desk.client.post(f"{desk.path}/runs", said), "body"),
    ):
        assert answer.has(422, "VALIDATION_ERROR")
        fields = {detail["field"] for detail in answer.error["details"]}
        assert fields == {f"{source}.user_input", f"{source}.tokens.?"}
        assert "secret" not in answer.text


async def test_an_upload_that_breaks_off_begins_nothing(desk: Desk) -> None:
    url = desk.client._session._base_url
    reader, writer = await asyncio.open_connection(url.host, url.port)
    head = (
        f"POST {desk.path}/stream HTTP/1.1\r\nHost: {url.host}\r\nX-API-Key: {KEY}\r\n"
        f"Content-Type: {typed()['Content-Type']}\r\nContent-Length: {len(WHOLE)}\r\n\r\n"
    )
    writer.write(head.encode() + WHOLE[:150_000])
    await writer.drain()
    await until(lambda: len(desk.spooled) == 1)
    writer.close()
    await until(lambda: not desk.spooled)
    assert await reader.read() == b""
    assert await desk.untouched()


async def test_refusals_by_the_conversation_leave_nothing(desk: Desk, make_conversation: Make) -> None:
    large = file("a", b"x" * 500_000)
    blind = await make_conversation(workspace_enabled=False)
    for conversation_id, status in ((UUID(blind["conversation_id"]), 400), (UUID(int=7), 404)):
        elsewhere = replace(desk, conversation_id=conversation_id)
        assert (await elsewhere.send(large)).status == status
    assert not desk.spooled
    assert not desk.folder.parent.exists()
