"""What is published names no machine, and can be installed from anywhere."""

import re

import pytest

from tests.architecture.sources import texts

MACHINE_PATHS = re.compile(r"/(?:home/(?!agent\b)\w|root/|work/|Users/\w|opt/(?:wheels|pypi))")
"""`/home/agent` is the home inside a sandbox."""

ADDRESSES = re.compile(r"\w+://|^\s*--(?:index|extra-index|find-links)|file:", re.MULTILINE)
UNFINISHED = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|X" + r"XX)\b")

LOCKS = [path for path in texts() if path.parts[0] == "requirements" and path.suffix == ".txt"]


def test_no_file_names_a_folder_of_some_machine():
    assert [str(path) for path, text in texts().items() if MACHINE_PATHS.search(text)] == []


def test_no_file_is_left_for_later():
    assert [str(path) for path, text in texts().items() if path.suffix != ".txt" and UNFINISHED.search(text)] == []


def test_no_file_has_characters_that_hide():
    hidden = re.compile("[\u200b\u202a-\u202e\u2066-\u2069\ufeff]")
    assert [str(path) for path, text in texts().items() if hidden.search(text)] == []


def test_there_are_locks():
    assert {path.stem for path in LOCKS} == {"app", "dev", "runner", "uv"}


@pytest.mark.parametrize("lock", LOCKS, ids=str)
def test_a_lock_holds_no_address(lock):
    assert not ADDRESSES.search(texts()[lock])


@pytest.mark.parametrize("lock", LOCKS, ids=str)
def test_a_lock_pins_and_hashes_everything(lock):
    entries = re.split(r"\n(?=[a-z])", texts()[lock].partition("\n\n")[0])
    requirements = [entry for entry in entries if not entry.startswith("#")]
    assert requirements
    assert [entry.splitlines()[0] for entry in requirements if "==" not in entry or "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize("lock", ["app", "runner"])
def test_development_runs_on_the_versions_of_production(lock):
    assert _pins(lock) <= _pins("dev")


def _pins(lock: str) -> set[str]:
    return set(
        re.findall(r"^([\w.-]+==[\w.!+]+)", texts()[next(path for path in LOCKS if path.stem == lock)], re.MULTILINE)
    )
