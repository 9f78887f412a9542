"""Services live exactly as long as the program that opened them, whoever runs it and however it ends."""

import os
import time
from pathlib import Path

import pytest

from tests.embedded.conftest import ORDINARY_UID, StartHolder, users_of, wait_until


@pytest.mark.slow
def test_a_killed_program_leaves_no_process_and_the_next_start_works(folder: Path, hold: StartHolder):
    for start in (1, 2):
        holder = hold(folder)
        assert holder.line() == f"{start} True"
        assert len(users_of(folder)) > 4
        holder.kill()
    wait_until(lambda: not users_of(folder))


def test_a_program_that_leaves_ends_its_services_first(folder: Path, hold: StartHolder):
    holder = hold(folder)
    assert holder.line() == "1 True"
    assert holder.leave() == 0
    assert not users_of(folder)
    assert "database system is shut down" in (folder / "postgres" / "server.log").read_text()


@pytest.mark.slow
def test_a_ctrl_c_reaches_the_program_and_not_its_services(folder: Path, hold: StartHolder):
    holder = hold(folder, ("setsid",))
    assert holder.line() == "1 True"
    servers = users_of(folder) - {holder.process.pid}
    assert os.getpgid(holder.process.pid) == holder.process.pid
    assert holder.process.pid not in {os.getpgid(server) for server in servers}


@pytest.mark.slow
@pytest.mark.parametrize("milliseconds", [300, 500, 700, 900])
def test_a_program_killed_in_its_first_start_is_no_hindrance(empty: Path, hold: StartHolder, milliseconds: int):
    holder = hold(empty)
    wait_until((empty / "postgres" / "unfinished").exists)
    time.sleep(milliseconds / 1000)  # where in the making it strikes is the point
    holder.kill()
    assert hold(empty).line() == "1 True"


@pytest.mark.slow
def test_two_checkouts_run_side_by_side(folder: Path, other: Path, hold: StartHolder):
    holders = [hold(folder), hold(other)]
    assert [holder.line() for holder in holders] == ["1 True", "1 True"]
    holders[0].kill()
    assert hold(folder).line() == "2 True"
    assert users_of(other)


@pytest.mark.slow
def test_a_folder_under_a_closed_home_is_used_without_opening_it_or_making_an_account(empty: Path, hold: StartHolder):
    accounts = Path("/etc/passwd").read_bytes()
    home = empty / "home"
    home.mkdir(mode=0o700)
    holder = hold(home / "checkout")
    assert holder.line() == "1 True"
    assert home.stat().st_mode & 0o777 == 0o700
    assert Path("/etc/passwd").read_bytes() == accounts


@pytest.mark.slow
def test_an_ordinary_user_without_a_name_can_run_everything_at_the_end_of_a_long_path(
    empty: Path, hold: StartHolder, ordinary: tuple[str, ...]
):
    os.chown(empty, ORDINARY_UID, ORDINARY_UID)
    for start in (1, 2):
        holder = hold(empty / ("d" * 120), ordinary)
        assert holder.line() == f"{start} True"
        owners = {Path(f"/proc/{pid}").stat().st_uid for pid in users_of(empty)}
        assert owners == {ORDINARY_UID}
        holder.kill()
