"""Giving away and removing folders that an agent filled."""

import os
from pathlib import Path

import pytest

from app.infrastructure.sandboxes import trees
from app.infrastructure.sandboxes.contract import SandboxUnavailable
from app.infrastructure.sandboxes.trees import give_tree, remove_tree

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


def dig(top: Path, levels: int) -> None:
    """Make folders deeper than any path can say."""
    here = os.open(top, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)


@pytest.mark.slow
def test_a_tree_deeper_than_a_program_recurses_is_removed(tmp_path: Path):
    top = tmp_path / "top"
    top.mkdir()
    dig(top, 1200)
    remove_tree(top)
    assert list(tmp_path.iterdir()) == []


def test_removing_follows_no_link(tmp_path: Path):
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_text("kept")
    top = tmp_path / "top"
    (top / "folder").mkdir(parents=True)
    (top / "folder" / "link").symlink_to(kept)
    (top / "link").symlink_to(kept)
    os.mkfifo(top / "folder" / "pipe")
    (top / "folder").chmod(0)
    remove_tree(top)
    assert not top.exists()
    assert (kept / "file").read_text() == "kept"


def test_removing_what_is_not_there_is_no_error(tmp_path: Path):
    remove_tree(tmp_path / "nothing")


@AS_ROOT
def test_every_entry_gets_the_owner_and_nothing_outside(tmp_path: Path):
    top, outside = tmp_path / "top", tmp_path / "outside"
    (top / "a" / "b").mkdir(parents=True)
    outside.mkdir()
    (top / "a" / "link").symlink_to(outside)
    (top / "a" / "b" / "file").touch()
    give_tree(top, 31_234)
    assert {path.lstat().st_uid for path in (top, *top.rglob("*"))} == {31_234}
    assert outside.stat().st_uid == 0


@AS_ROOT
def test_a_tree_beyond_the_bounds_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    dig(tmp_path, trees.MOST_LEVELS + 2)
    with pytest.raises(SandboxUnavailable, match="levels"):
        give_tree(tmp_path, 31_234)
    remove_tree(tmp_path / "d")
    for number in range(4):
        (tmp_path / str(number)).touch()
    monkeypatch.setattr(trees, "MOST_ENTRIES", 3)
    with pytest.raises(SandboxUnavailable, match="entries"):
        give_tree(tmp_path, 31_234)
