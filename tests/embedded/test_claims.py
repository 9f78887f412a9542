"""A folder has one program at a time, and says which."""

import os
from pathlib import Path

import pytest

from app.infrastructure.embedded.claims import claimed
from app.infrastructure.embedded.errors import EmbeddedServiceError, FolderInUse
from tests.embedded.conftest import StartHolder


async def test_a_second_claim_is_told_who_holds_the_folder(empty: Path):
    async with claimed(empty):
        with pytest.raises(FolderInUse, match=f"in use by process {os.getpid()}"):
            async with claimed(empty):
                pass


async def test_a_folder_can_be_claimed_again_after_its_block(empty: Path):
    for _ in range(2):
        async with claimed(empty):
            pass


async def test_another_program_is_told_who_holds_the_folder(folder: Path, hold: StartHolder):
    holder = hold(folder)
    assert holder.line()
    with pytest.raises(FolderInUse) as refused:
        async with claimed(folder / "postgres"):
            pass
    assert refused.value.pid == holder.process.pid


async def test_a_process_id_left_by_a_killed_program_claims_nothing(empty: Path):
    (empty / "lock").write_text(str(os.getpid()))
    async with claimed(empty):
        pass


async def test_a_folder_of_somebody_else_is_refused_in_words():
    if os.geteuid() == 0:
        pytest.skip("nothing is closed to root")
    with pytest.raises(EmbeddedServiceError, match="belongs to another user"):
        async with claimed(Path("/usr/embedded")):
            pass
