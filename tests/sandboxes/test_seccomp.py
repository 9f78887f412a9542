"""The seccomp profile: an allow-list in Docker's format, and its compilation."""

import json
from typing import Any

import pyseccomp
import pytest

from app.infrastructure.sandboxes import seccomp
from app.infrastructure.sandboxes.contract import SandboxUnavailable
from tests.sandboxes.boxes import ROOT

PROFILE = ROOT / "deployment" / "seccomp" / "sandbox.json"
MOST_CALLS = 245
CONDITIONAL = {"clone", "ioctl", "mknod", "mknodat", "personality", "socket", "socketpair"}


@pytest.fixture
def profile() -> dict[str, Any]:
    return json.loads(PROFILE.read_text())


def allowed(profile: dict[str, Any]) -> list[dict[str, Any]]:
    return [rule for rule in profile["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW"]


def test_what_is_not_named_is_forbidden(profile: dict[str, Any]):
    assert (profile["defaultAction"], profile["defaultErrnoRet"]) == ("SCMP_ACT_ERRNO", 1)


def test_few_calls_can_be_reached(profile: dict[str, Any]):
    assert len({name for rule in allowed(profile) for name in rule["names"]}) <= MOST_CALLS


def test_calls_with_dangerous_arguments_are_allowed_only_under_conditions(profile: dict[str, Any]):
    for rule in allowed(profile):
        assert bool(rule.get("args")) == bool(CONDITIONAL & set(rule["names"])), rule["names"][0]


def test_no_second_architecture_is_let_in(profile: dict[str, Any]):
    assert all(entry["subArchitectures"] == [] for entry in profile["archMap"])


def test_no_name_is_listed_twice_without_conditions(profile: dict[str, Any]):
    names = [name for rule in allowed(profile) if "args" not in rule for name in rule["names"]]
    assert len(names) == len(set(names))


def test_every_name_is_a_call_of_this_machines_libseccomp_or_skipped(profile: dict[str, Any]):
    """A misspelt name would silently stay forbidden."""
    names = {name for rule in profile["syscalls"] for name in rule["names"]}
    unknown = {name for name in names if pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, name) == -1}
    assert unknown <= {"fchmodat2", "futex_waitv", "epoll_pwait2", "faccessat2"}


def test_an_unknown_name_is_skipped(profile: dict[str, Any]):
    before = seccomp.compile_profile(profile)
    profile["syscalls"].append({"names": ["call_of_the_future"], "action": "SCMP_ACT_ALLOW"})
    assert seccomp.compile_profile(profile) == before


def test_a_profile_is_compiled_once():
    assert seccomp.compiled(PROFILE) is seccomp.compiled(PROFILE)


def test_a_processor_the_profile_does_not_know_is_refused(profile: dict[str, Any]):
    profile["archMap"] = []
    with pytest.raises(SandboxUnavailable, match="architecture"):
        seccomp.compile_profile(profile)


def test_a_machine_without_libseccomp_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(seccomp, "pyseccomp", None)
    with pytest.raises(SandboxUnavailable, match="libseccomp2"):
        seccomp.compiled(ROOT / "unread.json")
