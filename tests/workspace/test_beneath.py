"""Writing into a folder whose contents somebody hostile made, on a real file system."""

import os
import stat
import threading
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import pytest

from app.infrastructure.beneath import put_file

STRANGER = 20999


@pytest.fixture
def top(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    return folder


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "a").write_text("the host's own")
    return folder


def put(top: Path, path: str, content: bytes = b"new") -> None:
    put_file(top, path, BytesIO(content), STRANGER)


def entries(top: Path) -> list[str]:
    return sorted(str(path.relative_to(top)) for path in top.rglob("*"))


def test_a_file_is_written_with_its_folders(top: Path) -> None:
    put(top, "uploads/資料/a b.txt", b"x" * 3_000_000)
    assert entries(top) == ["uploads", "uploads/資料", "uploads/資料/a b.txt"]
    assert (top / "uploads/資料/a b.txt").read_bytes() == b"x" * 3_000_000
    modes = [stat.S_IMODE((top / path).stat().st_mode) for path in entries(top)]
    assert modes == [0o755, 0o755, 0o644]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_what_root_writes_belongs_to_the_sandbox(top: Path) -> None:
    put(top, "uploads/b/a")
    assert {(top / path).stat().st_uid for path in entries(top)} == {STRANGER}
    assert {(top / path).stat().st_gid for path in entries(top)} == {STRANGER}
    assert top.stat().st_uid == 0


def test_an_empty_file_is_a_file(top: Path) -> None:
    put(top, "a", b"")
    assert (top / "a").read_bytes() == b""


def test_a_file_is_replaced_and_who_reads_the_old_one_keeps_it(top: Path) -> None:
    put(top, "uploads/a", b"old")
    with (top / "uploads/a").open("rb") as reading:
        put(top, "uploads/a", b"new")
        assert reading.read() == b"old"
    assert (top / "uploads/a").read_bytes() == b"new"


def test_a_planted_link_is_replaced_and_what_it_names_is_not_touched(top: Path, outside: Path) -> None:
    (top / "a").symlink_to(outside / "a")
    (top / "b").symlink_to(outside / "nothing")
    put(top, "a")
    put(top, "b")
    assert not (top / "a").is_symlink()
    assert (top / "a").read_bytes() == b"new"
    assert [path.name for path in outside.iterdir()] == ["a"]
    assert (outside / "a").read_text() == "the host's own"


def test_a_hard_linked_file_is_replaced_and_its_other_name_keeps_its_content(top: Path, outside: Path) -> None:
    os.link(outside / "a", top / "a")
    put(top, "a")
    assert (outside / "a").read_text() == "the host's own"


def test_a_fifo_is_replaced_without_being_opened(top: Path) -> None:
    os.mkfifo(top / "a")
    put(top, "a")
    assert (top / "a").read_bytes() == b"new"


def plant_link(place: Path, outside: Path) -> None:
    place.symlink_to(outside)


def plant_inner_link(place: Path, outside: Path) -> None:
    (place.parent / "elsewhere").mkdir()
    place.symlink_to("elsewhere")


def plant_file(place: Path, outside: Path) -> None:
    place.write_text("in the way")


def plant_fifo(place: Path, outside: Path) -> None:
    os.mkfifo(place)


@pytest.mark.parametrize("plant", [plant_link, plant_inner_link, plant_file, plant_fifo])
@pytest.mark.parametrize("path", ["uploads/a", "uploads/b/a"])
def test_what_is_in_the_place_of_a_folder_stops_it(
    top: Path, outside: Path, plant: Callable[[Path, Path], None], path: str
) -> None:
    place = (top / path).parent
    place.parent.mkdir(exist_ok=True)
    plant(place, outside)
    before = entries(top)
    with pytest.raises(OSError):
        put(top, path)
    assert entries(top) == before
    assert (outside / "a").read_text() == "the host's own"


def test_a_folder_in_the_files_place_stays(top: Path) -> None:
    (top / "uploads/a").mkdir(parents=True)
    with pytest.raises(OSError):
        put(top, "uploads/a")
    assert entries(top) == ["uploads", "uploads/a"]


def test_a_workspace_that_is_gone_or_a_link_is_not_written_to(top: Path, outside: Path) -> None:
    top.rmdir()
    with pytest.raises(FileNotFoundError):
        put(top, "a")
    top.symlink_to(outside)
    with pytest.raises(OSError):
        put(top, "a")
    assert (outside / "a").read_text() == "the host's own"


@pytest.mark.parametrize("path", ["../a", "uploads/../../a", "/a", "a//b", "", ".", "a/."])
def test_a_path_that_is_more_than_names_is_a_fault_of_the_caller(top: Path, outside: Path, path: str) -> None:
    with pytest.raises(ValueError):
        put(top, path)
    assert entries(top) == []


def test_a_file_that_cannot_be_finished_leaves_nothing(top: Path) -> None:
    class Torn(BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell():
                raise OSError("no more")
            return super().read(1)

    put(top, "uploads/a", b"old")
    with pytest.raises(OSError, match="no more"):
        put_file(top, "uploads/a", Torn(b"new"), STRANGER)
    assert entries(top) == ["uploads", "uploads/a"]
    assert (top / "uploads/a").read_bytes() == b"old"


def test_a_folder_that_turns_into_a_link_and_back_never_leads_out(top: Path, outside: Path) -> None:
    over = threading.Event()
    (top / "link").symlink_to(outside)
    (top / "uploads").mkdir()

    def swap() -> None:
        while not over.is_set():
            for name, aside in (("uploads", "folder"), ("link", "uploads"), ("uploads", "link"), ("folder", "uploads")):
                with suppress(OSError):
                    (top / name).rename(top / aside)

    swapping = threading.Thread(target=swap)
    swapping.start()
    try:
        for number in range(300):
            with suppress(OSError):
                put(top, f"uploads/{number}")
    finally:
        over.set()
        swapping.join()
    assert [path.name for path in outside.iterdir()] == ["a"]
