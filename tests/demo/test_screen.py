"""What the person sees of a run's events."""

from io import StringIO

import pytest

from demo.client import Event
from demo.screen import Screen


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def output() -> StringIO:
    return StringIO()


@pytest.fixture
def screen(output: StringIO) -> Screen:
    return Screen(output)


def delta(content: str, kind: str = "text_delta") -> Event:
    return Event(kind, {"content": content})


def test_text_appears_as_it_is_written(screen: Screen, output: StringIO) -> None:
    screen.show(delta("Hello "))
    assert output.getvalue() == "agent     Hello "
    screen.show(delta("world"))
    assert output.getvalue() == "agent     Hello world"


def test_lines_of_text_stand_behind_the_margin_wherever_the_pieces_are_cut(screen: Screen, output: StringIO) -> None:
    for piece in ("one\n", "two", "\n\n", "three\nfour"):
        screen.show(delta(piece))
    screen.line()
    margin = " " * 10
    assert output.getvalue() == f"agent     one\n{margin}two\n\n{margin}three\n{margin}four\n\n"


def test_a_new_speaker_begins_a_new_line(screen: Screen, output: StringIO) -> None:
    screen.show(delta("Hm", "thinking_delta"))
    screen.show(delta("Yes"))
    assert output.getvalue() == "thinking  Hm\nagent     Yes"


def test_a_tool_is_shown_with_its_command_and_its_result(screen: Screen, output: StringIO) -> None:
    screen.show(Event("tool_call", {"tool_name": "Bash", "input": {"command": "ls"}, "summary": "Bash: List"}))
    screen.show(Event("tool_result", {"content": "a\nb\n", "is_error": False}))
    assert output.getvalue() == "tool      Bash  $ ls\n          → a\n          b\n"


def test_a_long_result_is_shortened(screen: Screen, output: StringIO) -> None:
    screen.show(Event("tool_result", {"content": "x" * 1000 + "\n" * 100 + "end", "is_error": True}))
    assert len(output.getvalue()) < 300
    assert output.getvalue().endswith("…\n")


def test_what_a_tool_prints_cannot_steer_the_terminal(screen: Screen, output: StringIO) -> None:
    screen.show(Event("tool_result", {"content": "\x1b[2J\x9b2J\rgone\x07", "is_error": False}))
    assert output.getvalue() == "          → [2J2Jgone\n"


def test_sub_agents_and_unknown_events_stay_unseen(screen: Screen, output: StringIO) -> None:
    screen.show(Event("text_delta", {"content": "inner", "parent_agent_id": "a"}))
    screen.show(Event("something_new", {}))
    assert output.getvalue() == ""


def test_colours_are_for_terminals_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    terminal = Terminal()
    Screen(terminal).entry("error", "no", "31")
    assert "\x1b[31mno\x1b[0m" in terminal.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    plain = Terminal()
    Screen(plain).entry("error", "no", "31")
    assert "\x1b" not in plain.getvalue()


def test_figures_are_aligned_to_the_right(screen: Screen, output: StringIO) -> None:
    screen.table([("usage", "input"), ("first turn", "1,234"), ("second", "5")])
    assert output.getvalue().splitlines() == ["usage       input", "first turn  1,234", "second          5"]
