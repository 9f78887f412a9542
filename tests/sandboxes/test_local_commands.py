"""The local provider's argument lists, without running them."""

from pathlib import Path

import pytest

from app.infrastructure.sandboxes.contract import Limits
from app.infrastructure.sandboxes.local.commands import (
    Bind,
    Descriptors,
    Plan,
    arrangement,
    command,
    encoded,
    environment,
    sandbox,
)
from app.infrastructure.sandboxes.local.host import Tools
from app.infrastructure.sandboxes.local.interpreter import Interpreter, find_interpreter

DESCRIPTORS = Descriptors(seccomp=11, info=12, gate=13, ready=14)


def plan(uid: int | None, *binds: Bind, **variables: str) -> Plan:
    return Plan(
        tools=Tools("/usr/bin/bwrap", "/usr/bin/setpriv", "/usr/bin/prlimit"),
        system=("--ro-bind", "/usr", "/usr"),
        etc=(),
        interpreter=Interpreter(Path("/elsewhere/python"), "/opt/python/bin/python3.11", None),
        binds=binds,
        limits=Limits(),
        environment=variables,
        uid=uid,
    )


def pairs(words: list[str], option: str) -> list[tuple[str, str]]:
    return [(words[n + 1], words[n + 2]) for n, word in enumerate(words) if word == option]


def test_an_ordinary_user_runs_one_bubblewrap():
    words = command(plan(None), outer=1, inner=2, ready=3)
    assert words[:4] == ["/usr/bin/bwrap", "--args", "2", "--"]
    assert "/usr/bin/setpriv" not in words


def test_root_gives_its_rights_up_between_two_bubblewraps():
    words = command(plan(20_001), outer=1, inner=2, ready=3)
    first, second = (n for n, word in enumerate(words) if word == "/usr/bin/bwrap")
    between = words[first:second]
    assert {"--reuid=20001", "--regid=20001", "--clear-groups", "--no-new-privs"} <= set(between)


def test_as_root_the_sandbox_is_built_from_neutral_places_alone():
    hidden = Bind("/closed/secret/place", "/workspace", writable=True)
    inner, outer = sandbox(plan(20_001, hidden), DESCRIPTORS), arrangement(plan(20_001, hidden), DESCRIPTORS)
    assert "/closed/secret/place" not in inner
    assert pairs(outer, "--bind") == [("/closed/secret/place", "/mnt/0")]
    assert pairs(inner, "--bind") == [("/mnt/0", "/workspace")]


def test_a_bind_is_read_only_unless_asked_otherwise():
    words = sandbox(plan(None, Bind("/a", "/x"), Bind("/b", "/y", writable=True)), DESCRIPTORS)
    assert ("/a", "/x") in pairs(words, "--ro-bind")
    assert pairs(words, "--bind") == [("/b", "/y")]


def test_the_workspace_is_a_temporary_folder_where_none_is_bound():
    assert "/workspace" in temporary_folders(sandbox(plan(None), DESCRIPTORS))
    assert "/workspace" not in temporary_folders(sandbox(plan(None, Bind("/w", "/workspace")), DESCRIPTORS))


def temporary_folders(words: list[str]) -> list[str]:
    return [words[n + 1] for n, word in enumerate(words) if word == "--tmpfs"]


def test_every_temporary_folder_has_a_size():
    words = sandbox(plan(None), DESCRIPTORS)
    sized = [words[n + 3] for n, word in enumerate(words) if word == "--size"]
    assert sized == temporary_folders(words)


def test_the_first_words_of_the_environment_clear_it():
    assert environment(plan(None, NAME="value"))[0] == "--clearenv"
    assert ("NAME", "value") in pairs(environment(plan(None, NAME="value")), "--setenv")


def test_arguments_are_told_apart_by_nul_and_so_hold_none():
    assert encoded(["--setenv", "A", "b c\n"]) == b"--setenv\0A\0b c\n\0"
    with pytest.raises(ValueError, match="NUL"):
        encoded(["--setenv", "A", "b\0--bind"])


def test_an_interpreter_outside_the_system_is_shown_with_its_library(tmp_path: Path):
    prefix = tmp_path / "3.11"
    (prefix / "bin").mkdir(parents=True)
    (prefix / "lib").mkdir()
    (prefix / "bin" / "python3.11").touch()
    (prefix / "lib" / "libpython3.11.so.1.0").touch()
    link = tmp_path / "python"
    link.symlink_to(prefix / "bin" / "python3.11")
    found = find_interpreter(link)
    assert found == Interpreter(prefix, "/opt/python/bin/python3.11", "/opt/python/lib/libpython3.11.so.1.0")


def test_the_systems_interpreter_needs_no_mount(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr("app.infrastructure.sandboxes.local.interpreter.SYSTEM", tmp_path)
    executable = tmp_path / "bin" / "python3.12"
    executable.parent.mkdir()
    executable.touch()
    assert find_interpreter(executable) == Interpreter(None, str(executable), None)
