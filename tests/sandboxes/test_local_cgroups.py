"""Finding control groups and setting limits, on pictures of machines; the real ones are tried in test_limits."""

from pathlib import Path

import pytest

from app.infrastructure.sandboxes.contract import MEBIBYTE, Limits
from app.infrastructure.sandboxes.local import cgroups
from app.infrastructure.sandboxes.local.cgroups import Controller, Group, find_controllers

LIMITS = Limits(memory_bytes=64 * MEBIBYTE, pids=40, cpus=1.5)


class Picture:
    """A machine's control groups as files."""

    def __init__(self, folder: Path) -> None:
        self.mounted = folder / "cgroup"
        self.processes = folder / "self"
        self.processes.mkdir()
        self.mounted.mkdir()

    def describe(self, own: list[str], mounts: list[str]) -> None:
        (self.processes / "cgroup").write_text("\n".join(own))
        lines = [mount.replace("AT", str(self.mounted)) for mount in mounts]
        (self.processes / "mountinfo").write_text("\n".join(lines))

    def group(self, path: str, **files: str) -> Path:
        folder = self.mounted / path
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name.replace("__", ".")).write_text(text)
        return folder


@pytest.fixture
def picture(tmp_path: Path) -> Picture:
    return Picture(tmp_path)


def test_in_version_1_groups_are_made_below_the_processs_own(picture: Picture):
    picture.describe(
        ["4:memory:/service", "3:cpu,cpuacct:/", "0::/"],
        [
            "30 1 0:1 / AT/memory rw - cgroup cgroup rw,memory",
            "31 1 0:2 / AT/cpu rw - cgroup cgroup rw,cpu,cpuacct",
        ],
    )
    memory, cpu = picture.group("memory/service"), picture.group("cpu")
    assert find_controllers(picture.processes) == {"memory": Controller(1, memory), "cpu": Controller(1, cpu)}


def test_in_a_container_the_mount_may_begin_at_the_own_group(picture: Picture):
    picture.describe(["4:memory:/docker/abc"], ["30 1 0:1 /docker/abc AT/memory rw - cgroup cgroup rw,memory"])
    memory = picture.group("memory")
    assert find_controllers(picture.processes) == {"memory": Controller(1, memory)}


ALL = "memory pids cpu"


def test_in_version_2_the_nearest_folder_without_processes_is_found(picture: Picture):
    picture.describe(["0::/system.slice/us.service"], ["30 1 0:1 / AT rw - cgroup2 cgroup2 rw"])
    at_root = {"cgroup__controllers": ALL, "cgroup__subtree_control": ALL, "cgroup__procs": "1"}
    picture.group("", **at_root)
    between = {"cgroup__controllers": ALL, "cgroup__subtree_control": "memory pids", "cgroup__procs": ""}
    slice_ = picture.group("system.slice", **between, cgroup__type="domain")
    own = {"cgroup__controllers": ALL, "cgroup__subtree_control": ALL, "cgroup__procs": "4711"}
    picture.group("system.slice/us.service", **own, cgroup__type="domain")
    found = find_controllers(picture.processes)
    assert found["memory"] == found["pids"] == Controller(2, slice_)


def test_in_version_2_the_root_takes_groups_beside_its_processes(picture: Picture):
    picture.describe(["0::/"], ["30 1 0:1 / AT rw - cgroup2 cgroup2 rw"])
    root = picture.group("", cgroup__controllers=ALL, cgroup__subtree_control=ALL, cgroup__procs="1\n2")
    assert find_controllers(picture.processes) == {name: Controller(2, root) for name in cgroups.NAMES}


def test_in_version_2_a_container_that_fills_its_own_root_has_no_place(picture: Picture):
    picture.describe(["0::/"], ["30 1 0:1 / AT rw - cgroup2 cgroup2 rw"])
    own = {"cgroup__controllers": ALL, "cgroup__subtree_control": "", "cgroup__procs": "1"}
    picture.group("", **own, cgroup__type="domain")
    assert find_controllers(picture.processes) == {}


def test_a_controller_that_is_off_is_switched_on(picture: Picture, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cgroups, "write", lambda file, text: file.write_text(file.read_text() + text.replace("+", " ")))
    picture.describe(["0::/"], ["30 1 0:1 / AT rw - cgroup2 cgroup2 rw"])
    root = picture.group("", cgroup__controllers=ALL, cgroup__subtree_control="", cgroup__procs="")
    assert find_controllers(picture.processes) == {name: Controller(2, root) for name in cgroups.NAMES}
    assert sorted((root / "cgroup.subtree_control").read_text().split()) == sorted(cgroups.NAMES)


def test_without_any_control_groups_nothing_is_found(picture: Picture):
    picture.describe(["0::/"], ["30 1 0:1 / AT rw - cgroup2 cgroup2 rw"])
    picture.group("", cgroup__controllers="", cgroup__subtree_control="")
    assert find_controllers(picture.processes) == {}


def test_what_is_not_held_is_said_in_plain_words():
    said = Group("one", {}).create(LIMITS)
    assert [text.split(":")[0] for text in said] == ["memory", "cpu"]


def test_limits_are_written_in_version_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cgroups, "write", lambda file, text: file.write_text(text))
    controllers = {name: Controller(1, tmp_path / name) for name in cgroups.NAMES}
    for name in cgroups.NAMES:
        (tmp_path / name / "one").mkdir(parents=True)
    assert Group("one", controllers).create(LIMITS) == ()
    assert (tmp_path / "memory" / "one" / "memory.limit_in_bytes").read_text() == str(64 * MEBIBYTE)
    assert (tmp_path / "pids" / "one" / "pids.max").read_text() == "40"
    assert (tmp_path / "cpu" / "one" / "cpu.cfs_quota_us").read_text() == "150000"


def test_limits_are_written_in_version_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cgroups, "write", lambda file, text: file.write_text(text))
    group = Group("one", {name: Controller(2, tmp_path) for name in cgroups.NAMES})
    assert group.create(LIMITS) == ()
    assert group.folders == (tmp_path / "one",)
    assert (tmp_path / "one" / "memory.max").read_text() == str(64 * MEBIBYTE)
    assert (tmp_path / "one" / "cpu.max").read_text() == "150000 100000"


@pytest.mark.parametrize(("version", "file"), [(1, "memory.oom_control"), (2, "memory.events")])
def test_an_end_for_want_of_memory_is_recognised(tmp_path: Path, version: int, file: str):
    group = Group("one", {"memory": Controller(version, tmp_path)})
    (tmp_path / "one").mkdir()
    assert not group.out_of_memory()
    (tmp_path / "one" / file).write_text("under_oom 0\noom_kill 0\n")
    assert not group.out_of_memory()
    (tmp_path / "one" / file).write_text("under_oom 0\noom_kill 2\n")
    assert group.out_of_memory()


async def test_removing_what_is_gone_already_is_no_error(tmp_path: Path):
    (tmp_path / "there").mkdir()
    await cgroups.remove([tmp_path / "there", tmp_path / "gone"])
    assert not (tmp_path / "there").exists()


async def test_a_group_that_stays_busy_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cgroups, "removed", lambda folder: False)
    monkeypatch.setattr(cgroups, "REMOVAL_PAUSES_S", (0, 0))
    with pytest.raises(TimeoutError, match="busy"):
        await cgroups.remove([tmp_path])
