"""The meter: reads the usage out of the model service's own answers.

Of an event stream the later word counts: the usage of `message_start`, then that of `message_delta`, then the
invocation metrics of the last event, which are what the service bills by. Only the first two say how cache writes
divide; what they leave open counts as five-minute writes. A stream that broke before it named its output is charged for
the output that arrived: each delta's UTF-8 bytes / 4, rounded up.

It is a sieve as well. An agent's client takes an answer for whole as soon as it has read the stop reason, whatever
comes after. So only whole, undamaged frames pass, and the stop reason waits for the proper end of the stream, with
which it usually arrives together. If that never comes, neither does the stop reason.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import orjson

from app.infrastructure.bedrock.calls import AnswerBroken, Operation
from app.infrastructure.bedrock.frames import DamagedFrame, Frame, FrameReader

Outcome = Literal["completed", "failed", "broken"]

_LARGEST_BODY = 64 * 1024 * 1024
_DAMAGE = (DamagedFrame, ValueError, KeyError, TypeError, AttributeError)
_PLAIN_FIELDS = {
    name: name for name in ("input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
}
_SPLIT_FIELDS = {name: name for name in ("ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens")}
_METRICS = {
    "inputTokenCount": "input_tokens",
    "outputTokenCount": "output_tokens",
    "cacheReadInputTokenCount": "cache_read_input_tokens",
    "cacheWriteInputTokenCount": "cache_creation_input_tokens",
}
_HEADERS = {
    "X-Amzn-Bedrock-Input-Token-Count": "input_tokens",
    "X-Amzn-Bedrock-Output-Token-Count": "output_tokens",
    "X-Amzn-Bedrock-Cache-Read-Input-Token-Count": "cache_read_input_tokens",
    "X-Amzn-Bedrock-Cache-Write-Input-Token-Count": "cache_creation_input_tokens",
}


@dataclass(frozen=True, slots=True)
class Tokens:
    """The five counts of a call."""

    input: int = 0
    output: int = 0
    cache_creation_5m: int = 0
    cache_creation_1h: int = 0
    cache_read: int = 0

    @property
    def total(self) -> int:
        return self.input + self.output + self.cache_creation_5m + self.cache_creation_1h + self.cache_read


@dataclass(frozen=True, slots=True)
class Reading:
    """What the meter says of an answer."""

    outcome: Outcome
    tokens: Tokens
    """All 0 when the service never said anything of its usage."""


class Meter(Protocol):
    """Is fed the answer's bytes, in order."""

    def feed(self, chunk: bytes) -> bytes:
        """What may be passed on now. Raises `AnswerBroken` when the rest cannot be made sense of."""
        ...

    def reading(self, *, whole: bool) -> Reading:
        """The outcome so far; `whole` when the transfer itself came to its proper end."""
        ...


class _Counts:
    """Usage fields as the service names them, each replaced by a later word on it."""

    def __init__(self) -> None:
        self._fields: dict[str, int] = {}

    def take(self, said: Mapping[str, Any], fields: Mapping[str, str]) -> None:
        for theirs, ours in fields.items():
            value = said.get(theirs)
            if isinstance(value, int) and value >= 0:
                self._fields[ours] = value

    def take_usage(self, usage: Mapping[str, Any]) -> None:
        self.take(usage, _PLAIN_FIELDS)
        self.take(usage.get("cache_creation") or {}, _SPLIT_FIELDS)

    def tokens(self, least_output: int = 0) -> Tokens:
        said = self._fields.get
        five, hour = (said(field, 0) for field in _SPLIT_FIELDS)
        written = said("cache_creation_input_tokens", five + hour)
        return Tokens(
            input=said("input_tokens", 0),
            output=max(said("output_tokens", 0), least_output),
            cache_creation_5m=written - min(hour, written),
            cache_creation_1h=min(hour, written),
            cache_read=said("cache_read_input_tokens", 0),
        )


class StreamMeter:
    """Follows an event stream of the Messages API."""

    def __init__(self) -> None:
        self._frames = FrameReader()
        self._withheld: list[bytes] = []
        self._counts = _Counts()
        self._arrived_output = 0
        self._output_named = self._stop_named = False
        self._ended = self._failed = self._damaged = False

    def feed(self, chunk: bytes) -> bytes:
        if self._damaged:
            raise AnswerBroken
        ready: list[bytes] = []
        try:
            for frame in self._frames.feed(chunk):
                ready += self._sieved(frame)
        except _DAMAGE:
            self._damaged = True
        return b"".join(ready)

    def _sieved(self, frame: Frame) -> list[bytes]:
        """The frames that may pass now that this one is here; none behind a failure."""
        had_failed = self._failed
        self._take_frame(frame)
        if self._failed:
            return [] if had_failed else [frame.raw]
        self._withheld.append(frame.raw)
        if self._stop_named and not self._ended:
            return []
        passing, self._withheld = self._withheld, []
        return passing

    def _take_frame(self, frame: Frame) -> None:
        if frame.headers.get(":message-type") != "event":
            self._failed = True
        elif frame.headers.get(":event-type") == "chunk":
            self._take_event(orjson.loads(base64.b64decode(orjson.loads(frame.payload)["bytes"])))

    def _take_event(self, event: Mapping[str, Any]) -> None:
        match event["type"]:
            case "content_block_delta":
                self._arrived_output += _estimate(event["delta"])
            case "message_start":
                self._counts.take_usage(event["message"].get("usage") or {})
            case "message_delta":
                self._stop_named = True
                self._take_last_usage(event.get("usage") or {})
            case "message_stop":
                self._take_metrics(event.get("amazon-bedrock-invocationMetrics") or {})
                self._ended = True
            case "error":
                self._failed = True

    def _take_last_usage(self, usage: Mapping[str, Any]) -> None:
        self._counts.take_usage(usage)
        self._output_named = self._output_named or "output_tokens" in usage

    def _take_metrics(self, metrics: Mapping[str, Any]) -> None:
        self._counts.take(metrics, _METRICS)
        self._output_named = self._output_named or "outputTokenCount" in metrics

    def reading(self, *, whole: bool) -> Reading:
        least_output = 0 if self._output_named else self._arrived_output
        return Reading(self._outcome(whole), self._counts.tokens(least_output))

    def _outcome(self, whole: bool) -> Outcome:
        if self._failed:
            return "failed"
        proper_end = whole and self._ended and not self._damaged and self._frames.is_between_frames
        return "completed" if proper_end else "broken"


def _estimate(delta: Mapping[str, Any]) -> int:
    text = delta.get("text") or delta.get("thinking") or delta.get("partial_json") or ""
    return (len(text.encode()) + 3) // 4


class BodyMeter:
    """Reads an answer that comes as one JSON object; its headers speak for a body that cannot be read."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._stated = {name: int(headers[name]) for name in _HEADERS if headers.get(name, "").isdecimal()}
        self._body = bytearray()

    def feed(self, chunk: bytes) -> bytes:
        if len(self._body) <= _LARGEST_BODY:
            self._body += chunk
        return chunk

    def reading(self, *, whole: bool) -> Reading:
        counts = _Counts()
        counts.take(self._stated, _HEADERS)
        usage = self._usage() if whole else None
        counts.take_usage(usage or {})
        return Reading("broken" if usage is None else "completed", counts.tokens())

    def _usage(self) -> Mapping[str, Any] | None:
        try:
            usage = orjson.loads(self._body)["usage"]
        except (ValueError, KeyError, TypeError):
            return None
        return usage if isinstance(usage, dict) else None


class FreeMeter:
    """Watches an answer that costs nothing."""

    def feed(self, chunk: bytes) -> bytes:
        return chunk

    def reading(self, *, whole: bool) -> Reading:
        return Reading("completed" if whole else "broken", Tokens())


def meter(operation: Operation, headers: Mapping[str, str]) -> Meter:
    """The meter for an answer that begins with these headers."""
    match operation:
        case "invoke-with-response-stream":
            return StreamMeter()
        case "invoke":
            return BodyMeter(headers)
        case "count-tokens":
            return FreeMeter()
