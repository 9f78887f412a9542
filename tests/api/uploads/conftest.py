"""A conversation whose engine has a scripted agent, behind the real routes."""

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from tempfile import gettempdir
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from app.config import Uploads
from app.database import Database
from tests.api.conftest import Answer, Client, Make
from tests.api.uploads.spelled import Part, body, typed
from tests.execution.conftest import Engine, replica, until

LIMITS = Uploads(upload_image_mebibytes=1, upload_pdf_mebibytes=2, upload_office_mebibytes=3, upload_other_mebibytes=1)


@dataclass
class Desk:
    """A conversation with its routes."""

    client: Client
    engine: Engine
    conversation_id: UUID
    folder: Path
    others: set[str]
    """Temporary files that are not the routes'."""

    @property
    def spooled(self) -> set[str]:
        return nameless_files() - self.others

    @property
    def path(self) -> str:
        return f"/api/tenants/acme/conversations/{self.conversation_id}"

    async def send(self, *parts: Part, **headers: str) -> Answer:
        return await self.send_raw(body(*parts), typed(**headers))

    async def send_raw(self, raw: bytes, headers: dict[str, str]) -> Answer:
        return await self.client.call("POST", f"{self.path}/runs", data=BytesIO(raw), headers=headers)

    async def finished(self, answer: Answer) -> list[str]:
        assert answer.status == 202, answer.text
        return [event.type for event in await self.engine.events(UUID(answer.body["run_id"]))]

    async def messages(self) -> list[dict[str, Any]]:
        return (await self.client.get(f"{self.path}/messages")).body

    def files(self) -> dict[str, bytes]:
        found = (path for path in self.folder.rglob("*") if path.is_file())
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in found}

    async def untouched(self) -> bool:
        """Whether no trace of a request is left."""
        runs = (await self.client.get(f"{self.path}/runs")).body["total"]
        return (runs, await self.messages(), self.files()) == (0, [], {})


def nameless_files() -> set[str]:
    """The temporary files this process has open."""
    links = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            links.add(str(descriptor.readlink()))
    return {link for link in links if link.startswith(gettempdir()) and link.endswith("(deleted)")}


@pytest.fixture
async def desk(
    client: Client, runtime: SimpleNamespace, database: Database, make_conversation: Make, tmp_path: Path
) -> AsyncIterator[Desk]:
    made = await make_conversation()
    usual = runtime.settings
    conversation_id = UUID(made["conversation_id"])
    folder = tmp_path / "one" / "workspaces" / b"acme".hex() / conversation_id.hex
    async with replica(database, tmp_path / "one") as engine:
        runtime.settings = usual.model_copy(update={"uploads": LIMITS})
        runtime.execution = engine.execution
        made_desk = Desk(client, engine, conversation_id, folder, nameless_files())
        yield made_desk
        runtime.settings = usual
    await until(lambda: not made_desk.spooled)
