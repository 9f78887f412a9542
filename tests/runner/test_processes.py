"""What is below the runner is found and ended, however it hides."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SETUP = """
import os, subprocess, time
from runner import processes
processes.adopt_orphans()
def until(true):
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)
"""


def run(program: str) -> str:
    """In a process of its own: being the parent of orphans is for good."""
    done = subprocess.run(
        [sys.executable, "-c", SETUP + program], capture_output=True, cwd=ROOT, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


@pytest.mark.parametrize(
    "hide",
    ["sleep 60", "sleep 60 & sleep 60", "setsid sleep 60 & exit 0", "(setsid sh -c 'sleep 60 & sleep 60' &) ; exit 0"],
)
def test_everything_below_is_ended(hide: str) -> None:
    told = run(
        f"""
child = subprocess.Popen(["sh", "-c", {hide!r}])
until(lambda: any("sleep" in open(f"/proc/{{pid}}/comm").read() for pid in processes._descendants()))
processes.kill_descendants()
print(processes._descendants())
child.wait()
"""
    )
    assert told == "[]"


def test_adopted_children_are_reaped_and_own_ones_left_to_their_waiter() -> None:
    told = run(
        """
subprocess.Popen(["sh", "-c", "(setsid true &) ; (setsid true &) ; exit 3"]).wait()
until(lambda: len(processes.children()) == 2)
own = subprocess.Popen(["true"])
until(lambda: all(state == "Z" for pid, (parent, state) in processes._table().items() if parent == os.getpid()))
processes.reap_orphans({own.pid})
left = processes.children()
print(left == {own.pid} or left, own.wait())
"""
    )
    assert told == "True 0"


def test_a_process_that_is_gone_is_trusted_by_nobody() -> None:
    told = run(
        """
gone = subprocess.Popen(["true"])
gone.wait()
print(*map(processes.descends_from_here, (gone.pid, 1, os.getppid())))
"""
    )
    assert told == "True False False"
