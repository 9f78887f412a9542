"""Whoever shares the runner's uid cannot get at its memory."""

import subprocess
import sys

import pytest

PROGRAM = """
import os, subprocess, sys
from runner import processes
if sys.argv[1] == "closed":
    processes.close_memory()
peek = "import sys; open('/proc/' + sys.argv[1] + '/mem', 'r+b')"
done = subprocess.run([sys.executable, "-c", peek, str(os.getpid())], capture_output=True, text=True)
print("refused" if "PermissionError" in done.stderr else "let in" if done.returncode == 0 else done.stderr)
"""

POWERLESS = ("setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs")
"""Root passes every check unless its capabilities are gone."""


@pytest.mark.slow
@pytest.mark.parametrize(("memory", "answer"), [("open", "let in"), ("closed", "refused")])
def test_the_memory_of_the_runner_is_closed_to_its_own_uid(memory: str, answer: str):
    command = [*POWERLESS, sys.executable, "-c", PROGRAM, memory]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == answer
