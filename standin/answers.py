"""Decides what to answer a request: a title, a harmless word to a side call, the next step of a script, or a scenario.

The stand-in keeps no conversations. A message is fresh if a person's text stands behind its last tool result; the
script is that of the last fresh message, and its step is the number of assistant turns behind that message, without
those that were cut off: where the CLI asks to resume one, the same step is answered again.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from standin import directives, scenarios
from standin.asked import Asked, Block, Turn, spoken
from standin.directives import Action, Agent, Call, EchoResults, Fail, Recall, Say, Script

_TITLE = re.compile(r"\btitle\b", re.IGNORECASE)
_INSERTED = ("Base directory for this skill:", "<command-", "<local-command", "<task-notification>")
"""How texts begin that the CLI, and no person, puts behind tool results."""
_RESUMED = "Your response above was cut off"
_INTERRUPTED = "[Request interrupted by user"
_AGENT_TOOLS = ("Agent", "Task")
_AGENT_INPUT = {
    "description": "Scripted sub-agent",
    "subagent_type": "general-purpose",
    "prompt": "@text Done.",
    "run_in_background": False,
}
_MOST_REMEMBERED = 10_000
Playable = Say | Call | directives.Pause | Fail


@dataclass(frozen=True, slots=True)
class Answer:
    """What to play back."""

    actions: tuple[Playable, ...]
    usage: dict[str, int] = field(default_factory=dict)
    """Counts that the script forces."""
    ttft: float | None = None
    rate: float | None = None


class Strikes:
    """How often a `@fail … times=n` has struck; the only thing about a conversation that is kept between requests."""

    def __init__(self) -> None:
        self._struck: dict[bytes, int] = {}

    def strike(self, key: bytes, times: int) -> bool:
        """Whether it strikes once more."""
        struck = self._struck.get(key, 0)
        if struck >= times:
            return False
        self._struck[key] = struck + 1
        if len(self._struck) > _MOST_REMEMBERED:
            del self._struck[next(iter(self._struck))]
        return True


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in a turn a request stands."""

    text: str
    """What the person said at the turn's beginning."""
    index: int
    """The turn's first message."""
    step: int
    """Model calls of the turn that are done."""


def answer(asked: Asked, strikes: Strikes) -> Answer:
    """The answer to one request. Never raises."""
    if not asked.tools and not asked.operation.endswith("stream") and _TITLE.search(asked.system):
        return _saying(scenarios.title(asked.turns))
    if _is_side_call(asked):
        return _saying(scenarios.NAME + "ready.")
    place = _place(asked.turns)
    script = directives.parse(place.text)
    if script is None:
        return Answer(tuple(_playable(scenarios.play(asked, place.text, place.step), asked, place)))
    return _scripted(script, asked, place, strikes)


def _saying(text: str) -> Answer:
    return Answer((Say(directives.pieces(text), rate=0),), ttft=0)


def _is_side_call(asked: Asked) -> bool:
    """The CLI's own questions (titles, summaries of a person's text) come without tools and cache no conversation."""
    return asked.from_cli and not asked.tools and not asked.pieces[-1].marker


def _place(turns: Sequence[Turn]) -> _Place:
    for index in range(len(turns) - 1, -1, -1):
        text = _fresh_text(turns[index])
        if text:
            return _Place(text, index, _answers(turns[index + 1 :]))
    return _Place("", 0, _answers(turns))


def _answers(turns: Sequence[Turn]) -> int:
    """Whole assistant turns; neighbours count as one."""
    whole = sum(1 for role, _ in groupby(turns, key=lambda turn: turn.role) if role == "assistant")
    return whole - sum(any(block.text.startswith(_RESUMED) for block in turn.blocks) for turn in turns)


def _fresh_text(turn: Turn) -> str:
    """What a person said at the end of a message: the last text with directives, else all texts."""
    if turn.role != "user":
        return ""
    texts = [text for text in map(_person, _behind_results(turn.blocks)) if text]
    scripted = [text for text in texts if directives.has_directive(text)]
    return scripted[-1] if scripted else "\n".join(texts)


def _behind_results(blocks: Sequence[Block]) -> Sequence[Block]:
    last = max((index for index, block in enumerate(blocks) if block.kind == "tool_result"), default=-1)
    return blocks[last + 1 :]


def _person(block: Block) -> str:
    text = spoken(block.text) if block.kind == "text" else ""
    return "" if text.startswith((*_INSERTED, _INTERRUPTED, _RESUMED)) else text


def _scripted(script: Script, asked: Asked, place: _Place, strikes: Strikes) -> Answer:
    if place.step >= len(script.steps):
        results = scenarios.last_results(asked.turns)[:500]
        return _saying(f"{scenarios.NAME}the script is at its end. The last tool answered: {results}")
    step = script.steps[place.step]
    actions = [action for action in _playable(step.actions, asked, place) if _strikes(action, asked, place, strikes)]
    ttft = script.ttft if step.ttft is None else step.ttft
    return Answer((*actions, *_filling(actions)), dict(step.usage), ttft, script.rate)


def _filling(actions: Sequence[Action]) -> Iterator[Say]:
    """Something to say in a step that says nothing, and enough of it for a failure to wait for its frame."""
    if not any(isinstance(action, Say | Call) for action in actions):
        yield Say(
            directives.numbered(max((action.after or 1 for action in actions if isinstance(action, Fail)), default=1))
        )


def _strikes(action: Action, asked: Asked, place: _Place, strikes: Strikes) -> bool:
    if not isinstance(action, Fail) or action.times is None:
        return True
    said = "\x00".join(block.text for turn in asked.turns[: place.index + 1] for block in turn.blocks)
    named = f"{asked.session}\x00{asked.model}\x00{place.step}\x00{action.kind}\x00{said}"
    return strikes.strike(hashlib.blake2b(named.encode("utf-8", "surrogatepass")).digest(), action.times)


def _playable(actions: Sequence[Action], asked: Asked, place: _Place) -> Iterator[Playable]:
    for action in actions:
        match action:
            case Recall():
                yield _recalled(action, asked.turns[: place.index])
            case EchoResults():
                yield _say(scenarios.last_results(asked.turns) or "there is no tool result.")
            case Agent():
                yield _agent(action, asked)
            case Call() if action.name not in asked.tools:
                yield _say(f"the tool {action.name} is not offered in this request.")
            case _:
                yield action


def _say(text: str) -> Say:
    return Say(directives.pieces(scenarios.NAME + text))


def _recalled(recall: Recall, earlier: Sequence[Turn]) -> Say:
    """The newest match in what was said before the directive."""
    for block in reversed([block for turn in earlier for block in turn.blocks]):
        matches = list(recall.pattern.finditer(spoken(block.text)))
        if matches:
            found = matches[-1]
            return _say(f"earlier in this conversation I find: {found[1] if found.re.groups else found[0]}")
    return _say(f"nothing earlier in this conversation matches {recall.pattern.pattern}")


def _agent(agent: Agent, asked: Asked) -> Playable:
    name = next((tool for tool in _AGENT_TOOLS if tool in asked.tools), None)
    if name is None:
        return _say("no tool for sub-agents is offered in this request.")
    known = {key: value for key, value in _AGENT_INPUT.items() if key in asked.tools[name]}
    return Call(name, known | agent.input)
