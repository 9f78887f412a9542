"""./dev is plain POSIX shell, and its help names every command."""

import re
import subprocess

import pytest

from tests.architecture.sources import CHECKOUT, texts


def dev(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["./dev", *arguments], cwd=CHECKOUT, capture_output=True, text=True, timeout=20, check=False)


def script() -> str:
    return next(text for path, text in texts().items() if str(path) == "dev")


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_shells_can_read_it(shell):
    assert subprocess.run([shell, "-n", "dev"], cwd=CHECKOUT, capture_output=True, check=True).stderr == b""


def test_help_names_every_command():
    commands = set(re.findall(r"^    ([a-z]+)\) ", script().rpartition("case $command in")[2], re.MULTILINE))
    assert len(commands) > 5
    assert commands | {"help"} == set(re.findall(r"^  ([a-z]+) ", dev("help").stdout, re.MULTILINE))


def test_nothing_said_means_help():
    assert dev().stdout == dev("help").stdout


def test_an_unknown_command_is_refused_with_the_help():
    answer = dev("nonsense")
    assert answer.returncode == 2
    assert "unknown command: nonsense" in answer.stderr
    assert dev("help").stdout in answer.stderr


def test_continuous_integration_runs_the_tests_and_nothing_else():
    (text,) = (text for path, text in texts().items() if str(path) == ".ci/run")
    commands = [line for line in text.splitlines() if not line.startswith(("#", "set ", "cd "))]
    assert commands == ["CI=true exec ./dev test --all </dev/null"]
