"""What the person in front of the terminal sees: text as it is written, tools with their results, figures."""

import os
import re
from collections.abc import Callable, Iterable
from typing import Any, TextIO

from demo.client import Event

MARGIN = 10
MOST_LINES = 12
LONGEST_LINE = 160
BOLD, DIM, RED, GREEN, CYAN = "1", "2", "31", "32", "36"

_LINE = re.compile(r"\n(?=[^\n])")
_UNPRINTABLE = {code: None for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}


class Screen:
    """Writes on one stream, in colour where that is a terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._colourful = stream.isatty() and not os.environ.get("NO_COLOR")
        self._open: str | None = None
        """Who speaks on the unfinished line: the agent, or its thoughts."""
        self._indent = False
        """Whether that line has not begun yet."""
        self._shows: dict[str, Callable[[dict[str, Any]], None]] = {
            "text_delta": lambda data: self._flow("agent", data["content"], ""),
            "thinking_delta": lambda data: self._flow("thinking", data["content"], DIM),
            "tool_call": self._tool_call,
            "tool_result": self._tool_result,
            "title": lambda data: self.entry("title", data["title"]),
            "retrying": lambda data: self.entry("retrying", data["reason"]),
            "error": lambda data: self.entry("error", data["message"], RED),
        }

    def show(self, event: Event) -> None:
        """An event of a run, if it is one to be seen."""
        show = self._shows.get(event.type)
        if show and not event.data.get("parent_agent_id"):
            show(event.data)

    def line(self, text: str = "", style: str = "") -> None:
        """A line of its own."""
        self._finish()
        self._write(self._styled(text, style) + "\n")

    def entry(self, label: str, text: str, style: str = "") -> None:
        """A line, or several, behind a label."""
        self._finish()
        self._write(self._label(label) + self._styled(_indented(text), style) + "\n")

    def user(self, text: str) -> None:
        """What the user says."""
        self.line()
        self.entry("user", text, BOLD)

    def table(self, rows: Iterable[tuple[str, ...]]) -> None:
        """Rows, the first of them the head; all columns but the first are figures."""
        rows = list(rows)
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for number, (name, *figures) in enumerate(rows):
            cells = [name.ljust(widths[0]), *map(str.rjust, figures, widths[1:])]
            self.line("  ".join(cells), BOLD if number == 0 else "")

    def _flow(self, speaker: str, text: str, style: str) -> None:
        if self._open != speaker:
            self._finish()
            self._write(self._label(speaker))
            self._open = speaker
            self._indent = False
        self._write(self._styled(_indented(text, begun=self._indent), style))
        self._indent = text.endswith("\n")

    def _tool_call(self, data: dict[str, Any]) -> None:
        given = data["input"]
        if "command" in given:
            self.entry("tool", f"{data['tool_name']}  $ {given['command']}", CYAN)
            return
        self.entry("tool", data["summary"].replace(":", " ", 1), CYAN)
        if "content" in given:
            self.entry("", _beginning(str(given["content"])), DIM)

    def _tool_result(self, data: dict[str, Any]) -> None:
        self.entry("", "→ " + _beginning(data["content"]), RED if data["is_error"] else GREEN)

    def _label(self, label: str) -> str:
        return self._styled(label.ljust(MARGIN), BOLD)

    def _finish(self) -> None:
        if self._open:
            self._open = None
            self._write("\n")

    def _styled(self, text: str, style: str) -> str:
        text = text.translate(_UNPRINTABLE)
        return f"\x1b[{style}m{text}\x1b[0m" if style and text and self._colourful else text

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def _indented(text: str, *, begun: bool = False) -> str:
    """Every line but the empty ones behind the margin; the first too if it has `begun` with a line's end."""
    return _LINE.sub("\n" + " " * MARGIN, f"\n{text}" if begun else text).removeprefix("\n" if begun else "")


def _beginning(text: str) -> str:
    """The first lines, none of them long."""
    lines = text.rstrip("\n").split("\n")
    shown = [line if len(line) <= LONGEST_LINE else line[:LONGEST_LINE] + "…" for line in lines[:MOST_LINES]]
    return "\n".join([*shown, "…"] if len(lines) > MOST_LINES else shown)
