"""Files that come with a message, from the request to the workspace."""

import threading
from contextlib import ExitStack
from dataclasses import replace
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import func, select

from app.errors import ConversationBusy, RuleBroken
from app.models import IdempotencyKey, Message, Run
from app.services.execution.admit import Application
from app.services.workspace.upload_paths import UploadPath
from app.services.workspace.uploads import UploadedFile
from tests.execution.conftest import ACME, Engine, data, kinds, until
from tests.execution.scripted import Speaker, hello


def uploaded(path: str, content: BytesIO) -> UploadedFile:
    said = content.getvalue()
    digest = sha256(said).hexdigest()
    return UploadedFile(UploadPath(path), "My file", "C:/My file", "text/plain", len(said), digest, content)


def asked(engine: Engine, conversation_id: UUID, *files: UploadedFile, key: str | None = None) -> Application:
    held = ExitStack()
    for file in files:
        held.callback(file.content.close)
    return replace(engine.asked(conversation_id, key=key), files=files, held=held)


@pytest.fixture
def workspaces(engine: Engine, tmp_path: Path) -> Path:
    return tmp_path / "one" / "workspaces" / ACME.encode().hex()


async def count(engine: Engine, table: type) -> int:
    async with engine.database.tenant_read(ACME) as session:
        return await session.scalar(select(func.count()).select_from(table)) or 0


async def test_files_are_in_the_workspace_before_the_agent_hears_of_them(engine: Engine, workspaces: Path) -> None:
    seen: list[bytes] = []
    conversation_id = await engine.conversation()
    folder = workspaces / conversation_id.hex

    async def look(speaker: Speaker) -> None:
        seen.extend((folder / path).read_bytes() for path in ("uploads/a.txt", "uploads/b/ü.bin"))
        await hello(speaker)

    told = "The user uploaded these files:\n- /workspace/uploads/a.txt\n- /workspace/uploads/b/ü.bin\n\nhello"
    engine.provider.scripts[told] = look
    files = (uploaded("uploads/a.txt", BytesIO(b"one")), uploaded("uploads/b/ü.bin", BytesIO(b"\0" * 2_000_000)))
    begun = await engine.execution.start(asked(engine, conversation_id, *files))
    events = await engine.events(begun.run_id)
    assert seen == [b"one", b"\0" * 2_000_000]
    assert kinds(events)[:4] == ["progress", "file_changed", "file_changed", "init"]
    assert {name: value for name, value in data(events[1]).items() if name not in {"seq", "timestamp"}} == {
        "file_path": "uploads/a.txt",
        "version": 1,
        "file_size": 3,
        "source": "user_upload",
        "is_presented": False,
    }
    assert all(file.content.closed for file in files)
    assert engine.titles == ["hello"]


async def test_the_users_message_names_its_files(engine: Engine) -> None:
    conversation_id = await engine.conversation()
    begun = await engine.execution.start(asked(engine, conversation_id, uploaded("uploads/a.txt", BytesIO(b"one"))))
    async with engine.database.tenant_read(ACME) as session:
        content = await session.scalar(select(Message.content).where(Message.message_type == "user"))
    assert content == {
        "type": "user",
        "text": "hello",
        "files": [
            {
                "path": "uploads/a.txt",
                "original_name": "My file",
                "original_relative_path": "C:/My file",
                "content_type": "text/plain",
                "size": 3,
                "sha256": sha256(b"one").hexdigest(),
            }
        ],
    }
    await engine.events(begun.run_id)


async def test_a_later_file_of_the_same_name_takes_the_place_of_the_first(engine: Engine, workspaces: Path) -> None:
    conversation_id = await engine.conversation()
    for said in (b"one", b"two"):
        begun = await engine.execution.start(asked(engine, conversation_id, uploaded("uploads/a", BytesIO(said))))
        await engine.events(begun.run_id)
        assert (workspaces / conversation_id.hex / "uploads/a").read_bytes() == said
    assert len(engine.provider.made) == 1


async def test_a_conversation_without_a_workspace_takes_no_files(engine: Engine, workspaces: Path) -> None:
    conversation_id = await engine.conversation(workspace_enabled=False)
    application = asked(engine, conversation_id, uploaded("uploads/a", BytesIO(b"one")), key="once")
    with pytest.raises(RuleBroken):
        await engine.execution.start(application)
    assert [await count(engine, table) for table in (Run, Message, IdempotencyKey)] == [0, 0, 0]
    assert not workspaces.exists()
    assert engine.provider.made == []
    application.held.close()
    assert application.files[0].content.closed
    assert kinds(await engine.run(conversation_id))[-1] == "done"


async def test_a_refused_or_repeated_request_leaves_its_files_to_who_brought_them(engine: Engine) -> None:
    engine.provider.scripts["wait"] = lambda speaker: speaker.interrupted.wait()
    conversation_id = await engine.conversation()
    first = await engine.execution.start(asked(engine, conversation_id, key="once"))
    await engine.events(first.run_id)
    again = asked(engine, conversation_id, uploaded("uploads/a", BytesIO(b"one")), key="once")
    assert (await engine.execution.start(again)).replayed
    await engine.start(conversation_id, "wait")
    busy = asked(engine, conversation_id, uploaded("uploads/b", BytesIO(b"one")))
    with pytest.raises(ConversationBusy):
        await engine.execution.start(busy)
    for application in (again, busy):
        assert not application.files[0].content.closed
        application.held.close()
        assert application.files[0].content.closed


async def test_what_an_agent_planted_in_the_way_fails_the_run_and_leads_nowhere(
    engine: Engine, workspaces: Path, tmp_path: Path
) -> None:
    conversation_id = await engine.conversation()
    await engine.run(conversation_id)
    outside = tmp_path / "outside"
    outside.mkdir()
    (workspaces / conversation_id.hex / "uploads" / "ok").mkdir(parents=True)
    (workspaces / conversation_id.hex / "uploads" / "trap").symlink_to(outside)
    files = [uploaded(f"uploads/{path}", BytesIO(b"one")) for path in ("ok/a", "trap/b", "ok/c")]
    begun = await engine.execution.start(asked(engine, conversation_id, *files))
    events = await engine.events(begun.run_id)
    assert kinds(events) == ["progress", "file_changed", "error", "done"]
    assert data(events[-2])["error_type"] == "execution_error"
    assert list(outside.iterdir()) == []
    assert (workspaces / conversation_id.hex / "uploads/ok/a").read_bytes() == b"one"
    assert all(file.content.closed for file in files)
    assert data((await engine.run(conversation_id))[-1])["status"] == "success"
    assert len(engine.provider.made) == 1


async def test_without_a_sandbox_nothing_is_written_and_nothing_stays_open(engine: Engine, workspaces: Path) -> None:
    engine.provider.broken = True
    conversation_id = await engine.conversation()
    file = uploaded("uploads/a", BytesIO(b"one"))
    begun = await engine.execution.start(asked(engine, conversation_id, file))
    assert kinds(await engine.events(begun.run_id)) == ["progress", "error", "done"]
    await until(lambda: file.content.closed)
    assert list((workspaces / conversation_id.hex).iterdir()) == []


async def test_files_stay_when_the_sandbox_dies(engine: Engine, workspaces: Path) -> None:
    async def die(speaker: Speaker) -> None:
        speaker.die()

    engine.provider.scripts["The user uploaded these files:\n- /workspace/uploads/a\n\nhello"] = die
    conversation_id = await engine.conversation()
    file = uploaded("uploads/a", BytesIO(b"one"))
    begun = await engine.execution.start(asked(engine, conversation_id, file))
    assert data((await engine.events(begun.run_id))[-2])["error_type"] == "sandbox_crashed"
    assert (workspaces / conversation_id.hex / "uploads/a").read_bytes() == b"one"
    assert file.content.closed


class Slow(BytesIO):
    """Is read when it is let."""

    def __init__(self, said: bytes) -> None:
        super().__init__(said)
        self.reading, self.let = threading.Event(), threading.Event()

    def read(self, size: int | None = -1) -> bytes:
        self.reading.set()
        self.let.wait(20)
        return super().read(size)


async def test_a_run_that_is_cancelled_while_a_file_is_written_waits_for_it_and_writes_no_more(
    engine: Engine, workspaces: Path
) -> None:
    slow = Slow(b"one")
    conversation_id = await engine.conversation()
    files = (uploaded("uploads/a", slow), uploaded("uploads/b", BytesIO(b"two")))
    begun = await engine.execution.start(asked(engine, conversation_id, *files))
    await until(slow.reading.is_set)
    await engine.execution.cancel(ACME, begun.run_id)
    assert not slow.closed
    slow.let.set()
    events = await engine.events(begun.run_id)
    assert kinds(events) == ["progress", "done"]
    assert data(events[-1])["status"] == "cancelled"
    await until(lambda: all(file.content.closed for file in files))
    assert [path.name for path in (workspaces / conversation_id.hex / "uploads").iterdir()] == ["a"]
    assert engine.provider.made[0].prompts == []
    assert data((await engine.run(conversation_id))[-1])["status"] == "success"


async def test_a_full_conversation_takes_no_files(engine: Engine) -> None:
    conversation_id = await engine.conversation(context_limit_reached=True)
    file = uploaded("uploads/a", BytesIO(b"one"))
    begun = await engine.execution.start(asked(engine, conversation_id, file))
    assert kinds(await engine.events(begun.run_id)) == ["error", "done"]
    await until(lambda: file.content.closed)


async def test_a_run_that_never_got_to_work_closes_its_files(engine: Engine) -> None:
    file = uploaded("uploads/a", BytesIO(b"one"))
    await engine.execution.start(asked(engine, await engine.conversation(), file))
    await engine.execution.close()
    await until(lambda: file.content.closed)
