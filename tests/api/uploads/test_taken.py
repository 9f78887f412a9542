"""Files that are taken, and what becomes of them."""

from collections.abc import Sequence
from hashlib import sha256
from io import BytesIO
from uuid import UUID

import pytest

from tests.api.conftest import KEY
from tests.api.uploads.conftest import Desk
from tests.api.uploads.spelled import ASKED, BOUNDARY, MEBIBYTE, Part, body, field, file, told, typed


async def test_files_come_by_the_names_of_their_metadata(desk: Desk) -> None:
    metadata = [
        told("data/表 1.csv", original_name="表 1.csv", original_relative_path="C:\\data\\表 1.csv", size=999),
        told("", filename="b.bin", content_type="application/x-mine"),
    ]
    sent = await desk.send(
        file("blob", b"1,2", "text/csv"), file("blob", b"\0\r\n--", "image/png"), field("file_metadata", metadata)
    )
    assert (await desk.finished(sent))[:4] == ["progress", "file_changed", "file_changed", "init"]
    assert desk.files() == {"uploads/data/表 1.csv": b"1,2", "uploads/b.bin": b"\0\r\n--"}
    (said, _) = await desk.messages()
    assert said["content"] == {
        "type": "user",
        "text": "hello",
        "files": [
            {
                "path": "uploads/data/表 1.csv",
                "original_name": "表 1.csv",
                "original_relative_path": "C:\\data\\表 1.csv",
                "content_type": "text/csv",
                "size": 3,
                "sha256": sha256(b"1,2").hexdigest(),
            },
            {
                "path": "uploads/b.bin",
                "original_name": "a.txt",
                "original_relative_path": "a.txt",
                "content_type": "application/x-mine",
                "size": 5,
                "sha256": sha256(b"\0\r\n--").hexdigest(),
            },
        ],
    }


async def test_without_metadata_a_files_own_name_counts(desk: Desk) -> None:
    large = b"x" * 300_000
    sent = await desk.send(file("Bericht Größe.txt", large), file("b/c.txt", b"", "weird\x01type"))
    await desk.finished(sent)
    assert desk.files() == {"uploads/Bericht Größe.txt": large, "uploads/b/c.txt": b""}
    first, second = (await desk.messages())[0]["content"]["files"]
    assert (first["original_name"], first["content_type"], first["size"]) == ("Bericht Größe.txt", None, 300_000)
    assert (second["original_name"], second["original_relative_path"]) == ("c.txt", "b/c.txt")
    assert second["content_type"] is None


async def test_the_streaming_route_takes_files_and_tells_of_them(desk: Desk) -> None:
    session, headers = desk.client._session, {"X-API-Key": KEY} | typed()
    raw = body(file("a.docx", b"x" * 2 * MEBIBYTE))
    async with session.post(f"{desk.path}/stream", data=BytesIO(raw), headers=headers) as sent:
        assert sent.status == 200, await sent.text()
        text = await sent.text()
    events = [line.removeprefix("event: ") for line in text.splitlines() if line.startswith("event: ")]
    assert events.index("file_changed") < events.index("init")
    assert events[-1] == "done"
    assert '"file_path":"uploads/a.docx"' in text
    assert len(desk.files()["uploads/a.docx"]) == 2 * MEBIBYTE


async def test_a_client_that_leaves_at_once_has_its_files_delivered(desk: Desk) -> None:
    session, headers = desk.client._session, {"X-API-Key": KEY} | typed()
    raw = body(file("a.txt", b"x" * 500_000))
    async with session.post(f"{desk.path}/stream", data=raw, headers=headers) as sent:
        run_id = UUID(sent.headers["X-Run-ID"])
    events = await desk.engine.events(run_id)
    assert [event.type for event in events][-1] == "done"
    assert len(desk.files()["uploads/a.txt"]) == 500_000


async def test_a_form_without_files_and_a_json_body_are_runs_too(desk: Desk) -> None:
    await desk.finished(await desk.send(field("file_metadata", [])))
    await desk.finished(await desk.client.post(f"{desk.path}/runs", ASKED))
    assert [message["content"].get("files") for message in await desk.messages()] == [None] * 4
    assert desk.files() == {}


@pytest.mark.parametrize("charset", ["idna", "punycode", "undefined", "utf-16", "hex", "no such", "%00"])
async def test_a_form_is_utf_8_whatever_it_says(desk: Desk, charset: str) -> None:
    headers = {"Content-Type": f'multipart/form-data; charset="{charset}"; boundary={BOUNDARY}'}
    await desk.finished(await desk.send_raw(body(file("xn--a-ü")), headers))
    assert desk.files() == {"uploads/xn--a-ü": b"one"}


async def test_a_hundred_files_are_not_too_many(desk: Desk) -> None:
    names = [f"{number}.txt" for number in range(100)]
    events = await desk.finished(await desk.send(*map(file, names)))
    assert events.count("file_changed") == 100
    assert desk.files().keys() == {f"uploads/{name}" for name in names}


async def test_the_same_form_with_a_key_begins_one_run(desk: Desk) -> None:
    parts = (file("a", b"x" * 500_000), field("file_metadata", [told("a")]))
    first = await desk.send(*parts, **{"Idempotency-Key": "once"})
    await desk.finished(first)
    boundary = "another"
    again = await desk.send_raw(
        body(*parts).replace(BOUNDARY.encode(), boundary.encode()), typed(boundary, **{"Idempotency-Key": "once"})
    )
    assert (again.status, again.body["run_id"]) == (202, first.body["run_id"])
    assert again.headers["Idempotent-Replayed"] == "true"
    assert (await desk.client.get(f"{desk.path}/runs")).body["total"] == 1


@pytest.mark.parametrize(
    "parts",
    [
        (),
        (file("a", b"two"),),
        (file("b", b"one"),),
        (file("a", b"one", "text/csv"),),
        (file("a", b"one"), file("b", b"")),
    ],
)
async def test_a_key_with_other_files_is_refused(desk: Desk, parts: Sequence[Part]) -> None:
    await desk.finished(await desk.send(file("a", b"one"), **{"Idempotency-Key": "once"}))
    other = await desk.send(*parts, **{"Idempotency-Key": "once"})
    assert other.has(422, "VALIDATION_ERROR")


async def test_a_key_with_another_request_is_refused(desk: Desk) -> None:
    keyed = {"Idempotency-Key": "once"}
    await desk.finished(await desk.send(file(), **keyed))
    other = await desk.send_raw(body(file(), asked=ASKED | {"user_input": "bye"}), typed(**keyed))
    assert other.has(422, "VALIDATION_ERROR")
