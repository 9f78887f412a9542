"""The conformance suite again, run by an ordinary user instead of root."""

import asyncio
import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.sandboxes.boxes import ROOT, SITE_PACKAGES

pytestmark = [pytest.mark.needs_bubblewrap, pytest.mark.slow]

UID = "12345"
SUITE = ("test_verbs.py", "test_isolation.py", "test_system_calls.py", "test_limits.py")


def reachable_places(state: Path) -> dict[str, str]:
    """What an ordinary user may not reach where it lies, by the option to show it with and its place."""
    return {
        f"--ro-bind {Path(sys.base_prefix).resolve()}": "/mnt/python",
        f"--ro-bind {SITE_PACKAGES}": "/mnt/packages",
        f"--ro-bind {ROOT}": "/mnt/checkout",
        f"--bind {state}": "/mnt/state",
    }


def as_user(state: Path) -> list[str]:
    """Words that run the rest as a user without rights, who can reach no more than the places."""
    shown = [word for option, place in reachable_places(state).items() for word in (*option.split(" ", 1), place)]
    identity = [f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "--no-new-privs"]
    private = [
        "bwrap",
        "--die-with-parent",
        "--dev-bind",
        "/",
        "/",
        "--tmpfs",
        "/mnt",
        *shown,
        "--chdir",
        "/mnt/checkout",
    ]
    return [*private, "--", "setpriv", *identity, "--"]


@pytest.mark.skipif(os.geteuid() != 0, reason="the suite itself runs as an ordinary user already")
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv is missing")
async def test_the_suite_holds_for_an_ordinary_user(tmp_path: Path):
    os.chown(tmp_path, int(UID), int(UID))
    python = f"/mnt/python/bin/{Path(sys.executable).resolve().name}"
    words = [python, "-m", "pytest", *(f"tests/sandboxes/{name}" for name in SUITE), "--basetemp", "/mnt/state/pytest"]
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": "/mnt/state",
        "PYTHONPATH": "/mnt/packages",
        "LD_LIBRARY_PATH": "/mnt/python/lib",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    process = await asyncio.create_subprocess_exec(
        *as_user(tmp_path), *words, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()[-6000:]
