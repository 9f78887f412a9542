"""The directive language: reads the `@` lines of a message into a script (see README.md)."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from typing import Any

_LINE = re.compile(r"^[ \t]*@([A-Za-z_]+)(?:\*(\d+))?(?=[ \t]|$)[ \t]*", re.MULTILINE)
_WORDS = re.compile(r"\S+\s*|\s+")
_ESCAPE = re.compile(r"\\(n|t|\\|u[0-9a-fA-F]{4})")
_ESCAPED = {"n": "\n", "t": "\t", "\\": "\\"}
_NUMBERS = tuple(f"{number:03} " for number in range(1000))
_MOST_PIECES = 1_000_000
_LONGEST_WAIT = 600.0
_LONGEST_PATTERN = 500
_JSON = json.JSONDecoder(strict=False)

EXCEPTIONS = frozenset({"throttling", "unavailable", "internal", "model_error", "timeout", "validation", "expired"})
BREAKAGES = frozenset({"cut", "crc", "silence", "empty", "no_metrics", "missing_end"})
USAGE_FIELDS = frozenset({"input", "output", "cache_5m", "cache_1h", "cache_read"})


@dataclass(frozen=True, slots=True)
class Say:
    """A text or thinking block, written piece by piece."""

    pieces: Sequence[str]
    thinking: bool = False
    rate: float | None = None
    """Pieces per second; 0 as fast as possible; none: the default."""


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call."""

    name: str
    input: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Agent:
    """A sub-agent, through whichever tool the request offers for it."""

    input: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Pause:
    seconds: float


@dataclass(frozen=True, slots=True)
class Fail:
    kind: str
    after: int | None = None
    """Frames sent before it strikes; none: where it stands."""
    times: int | None = None
    """How many requests of the same conversation it strikes; none: every one."""


@dataclass(frozen=True, slots=True)
class Recall:
    pattern: re.Pattern[str]


@dataclass(frozen=True, slots=True)
class EchoResults:
    pass


Action = Say | Call | Agent | Pause | Fail | Recall | EchoResults


@dataclass(slots=True)
class Step:
    """What one model call answers."""

    actions: list[Action] = field(default_factory=list)
    usage: dict[str, int] = field(default_factory=dict)
    ttft: float | None = None


@dataclass(slots=True)
class Script:
    """All steps of one directive message."""

    steps: list[Step] = field(default_factory=lambda: [Step()])
    ttft: float | None = None
    rate: float | None = None


class Malformed(ValueError):
    """A directive cannot be read; the message says why."""


@dataclass(slots=True)
class _Reader:
    """The text and how far it is read."""

    text: str
    position: int = 0
    repeat: int = 1

    def line(self) -> str:
        """The rest of the present line."""
        end = self.text.find("\n", self.position)
        end = len(self.text) if end < 0 else end
        rest, self.position = self.text[self.position : end], end
        return rest.strip()

    def word(self) -> str:
        match = re.compile(r"\S+").match(self.text, self.position)
        if not match:
            raise Malformed("a name is missing")
        self.position = match.end()
        return match[0]

    def object(self) -> dict[str, Any]:
        """A JSON object, which may span lines; none at the end of the line counts as empty."""
        begin = re.compile(r"[ \t]*").match(self.text, self.position)
        position = begin.end() if begin else self.position
        if position == len(self.text) or self.text[position] == "\n":
            return {}
        try:
            value, self.position = _JSON.raw_decode(self.text, position)
        except json.JSONDecodeError as error:
            raise Malformed(f"not JSON: {error.msg}") from error
        if not isinstance(value, dict):
            raise Malformed("not a JSON object")
        return value

    def pairs(self, allowed: frozenset[str]) -> dict[str, float]:
        """`key=number` words."""
        found: dict[str, float] = {}
        for word in self.line().split():
            key, _, value = word.partition("=")
            if key not in allowed:
                raise Malformed(f"{key} is not one of {', '.join(sorted(allowed))}")
            found[key] = _number(value)
        return found


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise Malformed(f"{text or 'nothing'} is no number") from error
    if not 0 <= value <= _MOST_PIECES:
        raise Malformed(f"{text} is out of range")
    return value


def has_directive(text: str) -> bool:
    return _LINE.search(text) is not None


def without(text: str) -> str:
    """The text without its directives, but with the words of `@text`."""
    kept: list[str] = []
    reader = _Reader(text)
    while match := _LINE.search(text, reader.position):
        kept.append(text[reader.position : match.start()])
        reader.position = match.end()
        if match[1] == "text":
            kept.append(reader.line())
        else:
            _read(Script(), match[1], reader)
    return "".join([*kept, text[reader.position :]]).strip()


def pieces(text: str) -> list[str]:
    """Words, each with the space after it."""
    return _WORDS.findall(text)


def parse(text: str) -> Script | None:
    """The script in a text, or none if it has no line that begins with `@word`. Never raises."""
    script = Script()
    reader = _Reader(text)
    found = False
    while match := _LINE.search(text, reader.position):
        found = True
        reader.position, reader.repeat = match.end(), int(match[2] or 1)
        _read(script, match[1], reader)
    return script if found else None


def _read(script: Script, name: str, reader: _Reader) -> None:
    begin = reader.position
    try:
        if name not in _DIRECTIVES:
            raise Malformed(f"unknown; known are {', '.join(sorted(_DIRECTIVES))}")
        _DIRECTIVES[name](script, reader)
    except Malformed as error:
        reader.position = begin
        reader.line()
        _add(script, Say(pieces(f"Stand-in model: I cannot follow the directive @{name}: {error}.")))


def _add(script: Script, action: Action) -> None:
    _step_for_output(script).actions.append(action)


def _step_for_output(script: Script) -> Step:
    """Whatever is no tool call stands after the results of the calls before it."""
    if any(isinstance(done, Call | Agent) for done in script.steps[-1].actions):
        script.steps.append(Step())
    return script.steps[-1]


def _text(script: Script, reader: _Reader) -> None:
    words = pieces(_unescaped(reader.line()) or " ")
    if len(words) * reader.repeat > _MOST_PIECES:
        raise Malformed("too long")
    _add(script, Say(words if reader.repeat == 1 else [*words[:-1], words[-1] + " "] * reader.repeat))


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda match: _ESCAPED.get(match[1]) or chr(int(match[1][1:], 16)), text)


def _think(script: Script, reader: _Reader) -> None:
    _add(script, Say(pieces(_unescaped(reader.line()) or "…"), thinking=True))


def _stream(script: Script, reader: _Reader) -> None:
    pairs = reader.pairs(frozenset({"n", "rate"}))
    _add(script, Say(numbered(int(pairs.get("n", 100))), rate=pairs.get("rate")))


def numbered(count: int) -> list[str]:
    """Pieces `000 `, `001 ` … of one token each."""
    return list(islice(cycle(_NUMBERS), count))


def _tool(script: Script, reader: _Reader) -> None:
    name = reader.word()
    script.steps[-1].actions.append(Call(name, reader.object()))


def _agent(script: Script, reader: _Reader) -> None:
    script.steps[-1].actions.append(Agent(reader.object()))


def _wait(script: Script, reader: _Reader) -> None:
    _add(script, Pause(min(_number(reader.line()), _LONGEST_WAIT)))


def _ttft(script: Script, reader: _Reader) -> None:
    seconds = min(_number(reader.line()), _LONGEST_WAIT)
    _step_for_output(script).ttft = seconds


def _fail(script: Script, reader: _Reader) -> None:
    kind = reader.word()
    if kind not in EXCEPTIONS | BREAKAGES:
        raise Malformed(f"{kind} is not one of {', '.join(sorted(EXCEPTIONS | BREAKAGES))}")
    pairs = {key: int(value) for key, value in reader.pairs(frozenset({"after", "times"})).items()}
    _add(script, Fail(kind, pairs.get("after"), pairs.get("times")))


def _recall(script: Script, reader: _Reader) -> None:
    source = reader.line()
    try:
        pattern = re.compile(source)
    except re.error as error:
        raise Malformed(f"not a regular expression: {error}") from error
    if not source or len(source) > _LONGEST_PATTERN:
        raise Malformed("the expression is empty or too long")
    _add(script, Recall(pattern))


def _echo_results(script: Script, reader: _Reader) -> None:
    reader.line()
    _add(script, EchoResults())


def _usage(script: Script, reader: _Reader) -> None:
    pairs = reader.pairs(USAGE_FIELDS)
    _step_for_output(script).usage.update({key: int(value) for key, value in pairs.items()})


def _new_step(script: Script, reader: _Reader) -> None:
    reader.line()
    if script.steps[-1].actions:
        script.steps.append(Step())


def _default(script: Script, reader: _Reader) -> None:
    pairs = reader.pairs(frozenset({"ttft", "rate"}))
    script.ttft = pairs.get("ttft", script.ttft)
    script.rate = pairs.get("rate", script.rate)


_DIRECTIVES: dict[str, Callable[[Script, _Reader], None]] = {
    "text": _text,
    "think": _think,
    "stream": _stream,
    "tool": _tool,
    "agent": _agent,
    "wait": _wait,
    "ttft": _ttft,
    "fail": _fail,
    "recall": _recall,
    "echo_results": _echo_results,
    "usage": _usage,
    "step": _new_step,
    "default": _default,
}


def calls(actions: Sequence[Action]) -> Iterator[Call]:
    """The tool calls among actions."""
    return (action for action in actions if isinstance(action, Call))
