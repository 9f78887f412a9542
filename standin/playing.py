"""Plays an answer to a client: paces it, counts it, and breaks it where the script says so."""

import asyncio
import json
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Protocol

from standin import directives, frames, tokens, wires
from standin.answers import Answer
from standin.directives import Call, Fail, Pause, Say
from standin.ledger import Call as Entry
from standin.wires import Written

_BATCH = 16 * 1024
"""Bytes collected before a write when nothing slows the answer down."""
_INPUT_PIECE = 64
"""Characters of a tool's input in one delta."""


@dataclass(slots=True)
class Settings:
    """What holds when no directive says otherwise."""

    ttft: float = 0.0
    """Seconds before the first byte."""
    rate: float = 0.0
    """Pieces per second; 0 as fast as possible."""
    silence: float = 600.0
    """Seconds for which a silent stream stays open."""
    require_signature: bool = False


class Connection(Protocol):
    """The way to the client."""

    async def begin(self) -> None:
        """Send status and headers."""

    async def send(self, data: bytes) -> None: ...

    def close(self) -> None:
        """End the connection without ending the answer."""


class _Struck(Exception):
    """The stream is to break now, at this frame."""

    def __init__(self, kind: str, frame: bytes) -> None:
        super().__init__(kind)
        self.kind = kind
        self.frame = frame


class Refused(Exception):
    """The answer is an error status."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


def first_failure(answer: Answer) -> Fail | None:
    """The failure that stands in front of everything else."""
    first = answer.actions[0]
    return first if isinstance(first, Fail) and first.after is None else None


async def refuse_first(answer: Answer, settings: Settings) -> None:
    """Wait the time to first token, then raise `Refused` if the answer is an error status."""
    await _sleep(settings.ttft if answer.ttft is None else answer.ttft)
    failure = first_failure(answer)
    if failure and failure.kind in directives.EXCEPTIONS:
        raise Refused(failure.kind)


def apply_input(usage: tokens.Usage, forced: dict[str, int]) -> tokens.Usage:
    """The input counts to state: counted ones, replaced by forced ones."""
    return replace(
        usage,
        input_tokens=forced.get("input", usage.input_tokens),
        cache_creation_5m=forced.get("cache_5m", usage.cache_creation_5m),
        cache_creation_1h=forced.get("cache_1h", usage.cache_creation_1h),
        cache_read=forced.get("cache_read", usage.cache_read),
    )


def stop_reason(answer: Answer) -> str:
    return "tool_use" if any(isinstance(action, Call) for action in answer.actions) else "end_turn"


async def _sleep(seconds: float) -> None:
    if seconds > 0:
        await asyncio.sleep(seconds)


def _milliseconds(since: float) -> int:
    return int((time.monotonic() - since) * 1000)


class Stream:
    """One streamed answer."""

    def __init__(self, connection: Connection, wire: wires.Wire, entry: Entry, settings: Settings) -> None:
        self._connection = connection
        self._wire = wire
        self._entry = entry
        self._settings = settings
        self._buffer = bytearray()
        self._fuse: Fail | None = None
        self._omitted: wires.Omitted | None = None
        self._index = 0
        self._rate = 0.0
        self._usage = tokens.Usage()
        self._final: tokens.Usage | None = None
        self._unsent = 0
        """Output tokens in the buffer."""

    async def play(self, answer: Answer, usage: tokens.Usage, began: float) -> None:
        """Send the whole answer, or as much of it as the script lets through."""
        await self._connection.begin()
        self._rate = self._settings.rate if answer.rate is None else answer.rate
        first = first_failure(answer)
        if first and first.kind == "empty":
            self._entry.failure = "empty"
            return
        try:
            await self._play(answer, usage, began)
        except _Struck as struck:
            await self._break(struck)

    async def _play(self, answer: Answer, usage: tokens.Usage, began: float) -> None:
        self._arm(answer)
        self._usage = usage
        self._put(self._wire.start(usage))
        timing_first = _milliseconds(began)
        for action in answer.actions:
            await self._act(action)
        final = replace(usage, output_tokens=answer.usage.get("output", usage.output_tokens + self._unsent))
        timing = wires.Timing(timing_first, _milliseconds(began))
        await self._finish(self._wire.end(stop_reason(answer), final, timing, self._omitted), final)

    async def _finish(self, closing: list[bytes], final: tokens.Usage) -> None:
        for index, frame in enumerate(closing):
            if index == len(closing) - 1:
                self._strike_now(frame)
            self._put(frame)
            if index == self._wire.usage_frame:
                self._final = final
        await self._flush()
        self._entry.finished = self._omitted is None
        self._entry.failure = self._omitted

    def _arm(self, answer: Answer) -> None:
        """Set what strikes after a number of frames, wherever in the script it stands, and what stands first."""
        for action in answer.actions:
            if isinstance(action, Fail) and action.after is not None:
                self._set(action)
        first = first_failure(answer)
        if first:
            self._set(first)

    def _set(self, failure: Fail) -> None:
        """From now on the failure waits for its frame; without `after` that is the next one."""
        match failure.kind:
            case "no_metrics" | "missing_end" as omitted:
                self._omitted = omitted
            case _:
                self._fuse = failure if failure.after is not None else replace(failure, after=self._entry.frames)

    def _strike_now(self, frame: bytes) -> None:
        """Let a failure that still waits for its frame strike at the last one."""
        if self._fuse:
            raise _Struck(self._fuse.kind, frame)

    def _put(self, frame: bytes) -> None:
        if self._fuse and self._fuse.after is not None and self._entry.frames >= self._fuse.after:
            raise _Struck(self._fuse.kind, frame)
        self._buffer += frame
        self._entry.frames += 1

    async def _flush(self) -> None:
        if self._buffer:
            data = bytes(self._buffer)
            self._buffer.clear()
            await self._connection.send(data)
            self._usage.output_tokens += self._unsent
            self._unsent = 0
            self._entry.usage = self._usage
            self._state()

    def _state(self) -> None:
        if self._final:
            self._entry.usage, self._entry.output_tokens_stated = self._final, self._final.output_tokens

    async def _act(self, action: Say | Call | Pause | Fail) -> None:
        match action:
            case Say():
                await self._say(action)
            case Call():
                await self._call(action)
            case Pause():
                await self._flush()
                await _sleep(action.seconds)
            case Fail() if action.after is None:
                self._set(action)

    async def _say(self, say: Say) -> None:
        kind: wires.Kind = "thinking" if say.thinking else "text"
        self._open(Written(kind, ""))
        rate = self._rate if say.rate is None else say.rate
        await (self._paced(kind, say, rate) if rate else self._unpaced(kind, say))
        self._close(kind)

    def _open(self, block: Written) -> None:
        frame = self._wire.open_block(self._index, block)
        if frame:
            self._put(frame)

    def _close(self, kind: wires.Kind) -> None:
        for frame in self._wire.close_block(self._index, kind):
            self._put(frame)
        self._index += 1

    def _delta(self, kind: wires.Kind, piece: str) -> None:
        self._put(self._wire.delta(self._index, kind, piece))
        self._unsent += tokens.of_text(piece)

    async def _unpaced(self, kind: wires.Kind, say: Say) -> None:
        limit = 0
        for piece in say.pieces:
            self._delta(kind, piece)
            if len(self._buffer) > limit:
                limit = _BATCH
                await self._flush()
                await asyncio.sleep(0)

    async def _paced(self, kind: wires.Kind, say: Say, rate: float) -> None:
        began = time.monotonic()
        for number, piece in enumerate(say.pieces):
            await _sleep(began + number / rate - time.monotonic())
            self._delta(kind, piece)
            await self._flush()

    async def _call(self, call: Call) -> None:
        self._open(Written("tool_use", "", call, _tool_use_id()))
        for piece in _input_pieces(call):
            self._delta("tool_use", piece)
        self._close("tool_use")
        await self._flush()

    async def _break(self, struck: _Struck) -> None:
        self._entry.failure = struck.kind
        await self._flush()
        await self._BREAKS.get(struck.kind, Stream._send_exception)(self, struck)

    async def _send_exception(self, struck: _Struck) -> None:
        await self._connection.send(wires.exception(struck.kind, f"Stand-in model: scripted failure {struck.kind}"))

    async def _cut(self, struck: _Struck) -> None:
        await self._connection.send(struck.frame[: len(struck.frame) // 2])
        self._connection.close()

    async def _damage(self, struck: _Struck) -> None:
        await self._connection.send(frames.with_bad_crc(struck.frame))

    async def _fall_silent(self, _: _Struck) -> None:
        await _sleep(self._settings.silence)
        self._connection.close()

    async def _stop_short(self, _: _Struck) -> None:
        """End the answer in good order, but without what was still to come."""

    _BREAKS: dict[str, Callable[["Stream", _Struck], Awaitable[None]]] = {  # noqa: RUF012 - a constant table
        "cut": _cut,
        "crc": _damage,
        "silence": _fall_silent,
        "empty": _stop_short,
    }


def _input_pieces(call: Call) -> list[str]:
    text = json.dumps(call.input)
    return [text[start : start + _INPUT_PIECE] for start in range(0, len(text), _INPUT_PIECE)]


def output_tokens(answer: Answer) -> int:
    """What the whole answer counts, however it is sent."""
    count = 0
    for action in answer.actions:
        match action:
            case Say():
                count += sum(map(tokens.of_text, action.pieces))
            case Call():
                count += sum(map(tokens.of_text, _input_pieces(action)))
            case _:
                pass
    return answer.usage.get("output", count)


def _tool_use_id() -> str:
    return f"toolu_bdrk_{uuid.uuid4().hex[:24]}"


def written(answer: Answer) -> list[Written]:
    """The blocks of an answer that is sent whole."""
    blocks: list[Written] = []
    for action in answer.actions:
        match action:
            case Say():
                blocks.append(Written("thinking" if action.thinking else "text", "".join(action.pieces)))
            case Call():
                blocks.append(Written("tool_use", json.dumps(action.input), action, _tool_use_id()))
            case _:
                pass
    return blocks


async def linger(answer: Answer, settings: Settings) -> None:
    """Wait as long as it would take to write the answer."""
    default = settings.rate if answer.rate is None else answer.rate
    for action in answer.actions:
        match action:
            case Pause():
                await _sleep(action.seconds)
            case Say():
                rate = default if action.rate is None else action.rate
                await _sleep(len(action.pieces) / rate if rate else 0)
            case _:
                pass


def failure_of_whole(answer: Answer) -> str | None:
    """How an answer fails that cannot fail in mid-stream."""
    return next((action.kind for action in answer.actions if isinstance(action, Fail)), None)
