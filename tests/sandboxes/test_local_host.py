"""What the local provider says when a machine cannot make sandboxes."""

from pathlib import Path

import pytest

from app.infrastructure.sandboxes.contract import SandboxId, SandboxSpec, SandboxUnavailable
from app.infrastructure.sandboxes.local import host, open_local
from tests.sandboxes.boxes import local_config


@pytest.mark.parametrize(("name", "package"), [("bwrap", "bubblewrap"), ("setpriv", "util-linux")])
def test_a_missing_program_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch, name: str, package: str):
    monkeypatch.setattr(host.shutil, "which", lambda *words, **options: None)
    with pytest.raises(SandboxUnavailable, match=f"{name} is missing.*{package}"):
        host.find_program(name)


def test_a_bubblewrap_that_is_too_old_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    old = tmp_path / "bwrap"
    old.write_text("#!/bin/sh\necho bubblewrap 0.6.1\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(SandboxUnavailable, match=r"0\.8 or newer.*0\.6"):
        host.find_tools()


def test_a_program_that_is_no_bubblewrap_is_refused(tmp_path: Path):
    other = tmp_path / "bwrap"
    other.write_text("#!/bin/sh\necho something else\n")
    other.chmod(0o755)
    with pytest.raises(SandboxUnavailable, match="does not say its version"):
        host.bubblewrap_version(str(other))


@pytest.mark.parametrize(
    ("setting", "value", "advice"),
    [
        ("APPARMOR_RESTRICTION", "1", "AppArmor"),
        ("NAMESPACE_SWITCH", "0", "clone=1"),
        ("NAMESPACE_LIMIT", "0", "max_user"),
    ],
)
def test_a_setting_that_forbids_user_namespaces_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, setting: str, value: str, advice: str
):
    for name in ("APPARMOR_RESTRICTION", "NAMESPACE_SWITCH", "NAMESPACE_LIMIT"):
        monkeypatch.setattr(host, name, tmp_path / name)
    assert host.restriction() == ""
    (tmp_path / setting).write_text(f"{value}\n")
    assert advice in host.explain("bwrap: setting up uid map: Permission denied")


def test_a_masked_proc_is_recognised():
    assert "systempaths=unconfined" in host.explain("bwrap: Can't mount proc on /newroot/proc: Operation not permitted")


@pytest.mark.needs_bubblewrap
async def test_an_interpreter_that_does_not_start_is_reported_with_what_it_said(tmp_path: Path):
    broken = tmp_path / "prefix" / "bin" / "python3.11"
    broken.parent.mkdir(parents=True)
    broken.write_text("#!/bin/sh\necho the parrot is dead >&2; exit 1\n")
    broken.chmod(0o755)
    async with open_local(local_config(tmp_path / "state", python=broken)) as provider:
        with pytest.raises(SandboxUnavailable, match="the parrot is dead"):
            await provider.create(SandboxSpec(SandboxId("broken"), None))
        assert await provider.list() == ()
