"""The two wire formats of the Bedrock runtime: Anthropic Messages events inside `chunk` frames, and Converse events."""

import base64
import json
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, Protocol

from standin import frames
from standin.directives import Call
from standin.tokens import Json, Usage

Kind = Literal["text", "thinking", "tool_use"]
Omitted = Literal["no_metrics", "missing_end"]
_CHUNK = frames.event("chunk")
_CONVERSE = {
    name: frames.event(name)
    for name in (
        "messageStart",
        "contentBlockStart",
        "contentBlockDelta",
        "contentBlockStop",
        "messageStop",
        "metadata",
    )
}
SIGNATURE = "c3RhbmQtaW4="


@dataclass(frozen=True, slots=True)
class ExceptionShape:
    """One failure as the service words it."""

    in_stream: str
    over_http: str
    status: int


EXCEPTIONS = {
    "throttling": ExceptionShape("throttlingException", "ThrottlingException", 429),
    "unavailable": ExceptionShape("serviceUnavailableException", "ServiceUnavailableException", 503),
    "internal": ExceptionShape("internalServerException", "InternalServerException", 500),
    "model_error": ExceptionShape("modelStreamErrorException", "ModelErrorException", 424),
    "timeout": ExceptionShape("modelTimeoutException", "ModelTimeoutException", 408),
    "validation": ExceptionShape("validationException", "ValidationException", 400),
    "expired": ExceptionShape("validationException", "ExpiredTokenException", 403),
}


@dataclass(frozen=True, slots=True)
class Written:
    """A finished content block."""

    kind: Kind
    text: str
    call: Call | None = None
    tool_use_id: str = ""


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds from the request to the first byte and to the end."""

    first_byte: int
    total: int


class Wire(Protocol):
    """Turns an answer into frames, or into one JSON body."""

    usage_frame: int
    """Which of the closing frames states the usage."""

    def start(self, usage: Usage) -> bytes: ...

    def open_block(self, index: int, block: Written) -> bytes | None: ...

    def delta(self, index: int, kind: Kind, piece: str) -> bytes: ...

    def close_block(self, index: int, kind: Kind) -> list[bytes]: ...

    def end(self, reason: str, usage: Usage, timing: Timing, omitted: Omitted | None) -> list[bytes]: ...

    def whole(self, blocks: list[Written], reason: str, usage: Usage, timing: Timing) -> bytes: ...


def exception(kind: str, message: str) -> bytes:
    """An exception frame; both formats share it."""
    body: dict[str, Any] = {"message": message}
    if kind == "model_error":
        body |= {"originalStatusCode": 500, "originalMessage": message}
    return frames.frame(frames.exception(EXCEPTIONS[kind].in_stream), json.dumps(body).encode())


def _chunk(text: str) -> bytes:
    return frames.frame(_CHUNK, b'{"bytes":"%b"}' % base64.b64encode(text.encode()))


def _messages_event(kind: str, **fields: Json) -> bytes:
    return _chunk(json.dumps({"type": kind, **fields}))


_MESSAGES_DELTA = {
    "text": ("text_delta", "text"),
    "thinking": ("thinking_delta", "thinking"),
    "tool_use": ("input_json_delta", "partial_json"),
}


@lru_cache(maxsize=8192)
def _messages_delta(index: int, kind: Kind, piece: str) -> bytes:
    name, field = _MESSAGES_DELTA[kind]
    delta = f'{{"type":"{name}","{field}":{json.dumps(piece)}}}'
    return _chunk(f'{{"type":"content_block_delta","index":{index},"delta":{delta}}}')


class MessagesWire:
    """`invoke` and `invoke-with-response-stream`."""

    usage_frame = 0

    def __init__(self, message_id: str, model: str) -> None:
        self._message_id = message_id
        self._model = model

    def _message(self, content: list[Any], reason: str | None, usage: Usage) -> dict[str, Any]:
        return {
            "model": self._model,
            "id": self._message_id,
            "type": "message",
            "role": "assistant",
            "content": content,
            "stop_reason": reason,
            "stop_sequence": None,
            "usage": messages_usage(usage),
        }

    def start(self, usage: Usage) -> bytes:
        return _messages_event("message_start", message=self._message([], None, usage))

    def open_block(self, index: int, block: Written) -> bytes:
        empty = _messages_block(Written(block.kind, "", block.call and Call(block.call.name, {}), block.tool_use_id))
        return _messages_event("content_block_start", index=index, content_block=empty)

    def delta(self, index: int, kind: Kind, piece: str) -> bytes:
        return _messages_delta(index, kind, piece)

    def close_block(self, index: int, kind: Kind) -> list[bytes]:
        stop = _messages_event("content_block_stop", index=index)
        if kind != "thinking":
            return [stop]
        signature = {"type": "signature_delta", "signature": SIGNATURE}
        return [_messages_event("content_block_delta", index=index, delta=signature), stop]

    def end(self, reason: str, usage: Usage, timing: Timing, omitted: Omitted | None) -> list[bytes]:
        delta = {"stop_reason": reason, "stop_sequence": None}
        last = _messages_event("message_delta", delta=delta, usage=messages_usage(usage))
        if omitted == "missing_end":
            return [last]
        metrics = {} if omitted else {"amazon-bedrock-invocationMetrics": _invocation_metrics(usage, timing)}
        return [last, _messages_event("message_stop", **metrics)]

    def whole(self, blocks: list[Written], reason: str, usage: Usage, timing: Timing) -> bytes:  # noqa: ARG002
        return json.dumps(self._message([_messages_block(block) for block in blocks], reason, usage)).encode()


def messages_usage(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input_tokens,
        "cache_creation_input_tokens": usage.cache_creation,
        "cache_read_input_tokens": usage.cache_read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": usage.cache_creation_5m,
            "ephemeral_1h_input_tokens": usage.cache_creation_1h,
        },
        "output_tokens": usage.output_tokens,
    }


def _messages_block(block: Written) -> dict[str, Any]:
    if block.call:
        return {"type": "tool_use", "id": block.tool_use_id, "name": block.call.name, "input": block.call.input}
    if block.kind == "thinking":
        return {"type": "thinking", "thinking": block.text, "signature": SIGNATURE if block.text else ""}
    return {"type": "text", "text": block.text}


def _invocation_metrics(usage: Usage, timing: Timing) -> dict[str, int]:
    return {
        "inputTokenCount": usage.input_tokens,
        "outputTokenCount": usage.output_tokens,
        "invocationLatency": timing.total,
        "firstByteLatency": timing.first_byte,
        "cacheReadInputTokenCount": usage.cache_read,
        "cacheWriteInputTokenCount": usage.cache_creation,
    }


def _converse_event(name: str, body: dict[str, Any]) -> bytes:
    return frames.frame(_CONVERSE[name], json.dumps(body).encode())


@lru_cache(maxsize=8192)
def _converse_delta(index: int, kind: Kind, piece: str) -> bytes:
    deltas = {
        "text": {"text": piece},
        "thinking": {"reasoningContent": {"text": piece}},
        "tool_use": {"toolUse": {"input": piece}},
    }
    return _converse_event("contentBlockDelta", {"contentBlockIndex": index, "delta": deltas[kind]})


class ConverseWire:
    """`converse` and `converse-stream`."""

    usage_frame = 1

    def start(self, usage: Usage) -> bytes:  # noqa: ARG002 - Converse tells the usage at the end only
        return _converse_event("messageStart", {"role": "assistant"})

    def open_block(self, index: int, block: Written) -> bytes | None:
        if not block.call:
            return None
        start = {"toolUse": {"toolUseId": block.tool_use_id, "name": block.call.name}}
        return _converse_event("contentBlockStart", {"contentBlockIndex": index, "start": start})

    def delta(self, index: int, kind: Kind, piece: str) -> bytes:
        return _converse_delta(index, kind, piece)

    def close_block(self, index: int, kind: Kind) -> list[bytes]:
        stop = _converse_event("contentBlockStop", {"contentBlockIndex": index})
        if kind != "thinking":
            return [stop]
        delta = {"reasoningContent": {"signature": SIGNATURE}}
        return [_converse_event("contentBlockDelta", {"contentBlockIndex": index, "delta": delta}), stop]

    def end(self, reason: str, usage: Usage, timing: Timing, omitted: Omitted | None) -> list[bytes]:
        if omitted == "missing_end":
            return []
        stop = _converse_event("messageStop", {"stopReason": reason})
        metadata = {"usage": converse_usage(usage), "metrics": {"latencyMs": timing.total}}
        return [stop] if omitted else [stop, _converse_event("metadata", metadata)]

    def whole(self, blocks: list[Written], reason: str, usage: Usage, timing: Timing) -> bytes:
        message = {"role": "assistant", "content": [_converse_block(block) for block in blocks]}
        metrics = {"latencyMs": timing.total}
        body = {"output": {"message": message}, "stopReason": reason, "usage": converse_usage(usage)}
        return json.dumps({**body, "metrics": metrics}).encode()


def converse_usage(usage: Usage) -> dict[str, Any]:
    written = (("5m", usage.cache_creation_5m), ("1h", usage.cache_creation_1h))
    return {
        "inputTokens": usage.input_tokens,
        "outputTokens": usage.output_tokens,
        "totalTokens": usage.input_tokens + usage.output_tokens + usage.cache_read + usage.cache_creation,
        "cacheReadInputTokens": usage.cache_read,
        "cacheWriteInputTokens": usage.cache_creation,
        "cacheDetails": [{"ttl": ttl, "inputTokens": count} for ttl, count in written if count],
    }


def _converse_block(block: Written) -> dict[str, Any]:
    if block.call:
        return {"toolUse": {"toolUseId": block.tool_use_id, "name": block.call.name, "input": block.call.input}}
    if block.kind == "thinking":
        return {"reasoningContent": {"reasoningText": {"text": block.text, "signature": SIGNATURE}}}
    return {"text": block.text}
