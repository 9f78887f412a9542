"""Uploaded files as the agent has them, and what it can do about where they go."""

import json

import pytest

from tests.end_to_end.client import Event, Talk, error_of, form, of, status_of, text_of
from tests.end_to_end.conftest import House

pytestmark = [pytest.mark.needs_cli, pytest.mark.needs_bubblewrap, pytest.mark.slow]


def bash(command: str) -> str:
    return f"@tool Bash {json.dumps({'command': command})}\n@echo_results"


async def send(talk: Talk, text: str, files: dict[str, bytes]) -> list[Event]:
    """A turn with files, by their relative paths."""
    said = form(text)
    names = ("filename", "original_name", "relative_path", "original_relative_path")
    said.add_field("file_metadata", json.dumps([dict.fromkeys(names, path) for path in files]))
    for content in files.values():
        said.add_field("files", content, filename="blob")
    async with talk.api.stream("POST", f"{talk.path}/stream", data=said) as stream:
        return await stream.rest()


def printed_by(events: list[Event]) -> str:
    return text_of(events).removeprefix("Stand-in model: ")


async def test_the_agent_reads_changes_and_removes_what_was_uploaded(talk: Talk) -> None:
    look = bash("cat uploads/a && echo more >> uploads/a && cat uploads/a && rm uploads/b && ls -ld uploads uploads/a")
    events = await send(talk, look, {"a": b"words\n", "b": b"x"})
    assert status_of(events) == "success"
    assert [changed["file_path"] for changed in of("file_changed", events)] == ["uploads/a", "uploads/b"]
    printed = printed_by(events)
    assert printed.startswith("words\nwords\nmore\n")
    assert "drwxr-xr-x" in printed
    assert "-rw-r--r--" in printed
    assert printed.count("agent") >= 2


async def test_what_the_agent_planted_leads_no_upload_out_of_its_workspace(talk: Talk, house: House) -> None:
    outside = house.data / "workspaces" / "outside"
    outside.mkdir(parents=True)
    planted = await talk.turn(
        bash(f"mkdir uploads && ln -s {outside} uploads/c && ln -s {outside}/d uploads/d && ls uploads")
    )
    assert "c\nd" in printed_by(planted)
    events = await send(talk, "@text read", {"d": b"mine", "c/a": b"x"})
    assert (status_of(events), error_of(events)) == ("error", "execution_error")
    assert list(outside.iterdir()) == []
    after = await talk.turn(bash("cat uploads/d && ls -l uploads | grep -c -e '->'"))
    assert printed_by(after) == "mine1"
    outside.rmdir()


async def test_settings_that_come_as_files_are_not_obeyed(talk: Talk) -> None:
    hook = {"type": "command", "command": "touch /workspace/obeyed"}
    hooks = {event: [{"hooks": [hook]}] for event in ("SessionStart", "UserPromptSubmit", "PreToolUse", "Stop")}
    settings = json.dumps({"hooks": hooks}).encode()
    await send(talk, bash("cp -r uploads/.claude . && ls -A"), {".claude/settings.json": settings})
    events = await talk.turn(bash("ls -A"), max_turns=9)
    assert ".claude" in printed_by(events)
    assert "obeyed" not in printed_by(events)
