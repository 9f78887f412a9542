"""Providers to put through the conformance suite, and sandboxes of theirs with the probe inside."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from app.infrastructure.sandboxes.contract import SandboxId, SandboxProvider, SandboxSpec
from app.infrastructure.sandboxes.local import open_local
from tests.sandboxes.boxes import Box, local_config

PROVIDERS = {"local": lambda state: open_local(local_config(state))}
"""Each opens a provider whose sandboxes run the probe."""

CANARY = "canary-3f1c9a"

Make = Callable[..., Awaitable[Box]]

numbers = count()


@pytest.fixture(scope="session", autouse=True)
def canary() -> None:
    """A secret in the backend's own environment."""
    os.environ["SANDBOX_TEST_SECRET"] = CANARY


@pytest.fixture(scope="session", params=[pytest.param(name, marks=pytest.mark.needs_bubblewrap) for name in PROVIDERS])
async def provider(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Any]:
    async with PROVIDERS[request.param](tmp_path_factory.mktemp("state")) as provider:
        yield provider


async def make_box(provider: SandboxProvider, workspace: Path | None, **fields: Any) -> Box:
    fields.setdefault("sandbox_id", SandboxId(f"box{next(numbers)}"))
    return Box(await provider.create(SandboxSpec(workspace=workspace, **fields)), workspace)


@pytest.fixture
async def make(provider: SandboxProvider, tmp_path: Path) -> AsyncIterator[Make]:
    """Makes sandboxes that go with the test; each has a workspace of its own unless told otherwise."""
    async with AsyncExitStack() as made:

        async def new(**fields: Any) -> Box:
            workspace = fields.pop("workspace", tmp_path / f"workspace-{next(numbers)}")
            if workspace is not None:
                workspace.mkdir(exist_ok=True)
            box = await make_box(provider, workspace, **fields)
            made.push_async_callback(provider.destroy, box.sandbox.sandbox_id)
            return box

        yield new


@pytest.fixture(scope="session")
async def box(provider: SandboxProvider, tmp_path_factory: pytest.TempPathFactory) -> Box:
    """One sandbox for all tests that only look."""
    return await make_box(provider, tmp_path_factory.mktemp("workspace"))
