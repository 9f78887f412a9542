"""The token rule: one token per four UTF-8 bytes, rounded up for each counted piece; cached prefixes counted apart.

Input: each tool definition, system block and content block of a message is a piece. A text counts by its own bytes, an
image or document as 1,500 tokens, anything else by the bytes of its compact JSON without its cache marker. The block
with which the CLI identifies itself (`x-anthropic-billing-header…`) is not counted, as the real service drops it. Each
request counts 3 more plain input tokens for the frame around the conversation.

Cache: a marker ends a prefix. The longest piece boundary up to the last marker that an earlier request to the same
model had marked is a cache read; what follows up to each marker is cache creation, 5 m or 1 h as that marker says; what
follows the last marker is plain input. Nothing expires; the oldest of 100,000 prefixes is forgotten.

Output: each delta of text, thinking or tool input counts its bytes / 4, rounded up.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import orjson

Json: TypeAlias = Any
"""What a JSON text may hold: clients send anything."""

Ttl = Literal["5m", "1h"]
_REMEMBERED = 100_000
_PICTURE_TOKENS = 1_500
_FRAME_TOKENS = 3
UNCOUNTED = "x-anthropic-billing-header"


@dataclass(frozen=True, slots=True)
class Piece:
    """A counted part of the input."""

    content: bytes
    tokens: int
    marker: Ttl | None = None
    """A cached prefix ends here and is to be kept that long."""


@dataclass(slots=True)
class Usage:
    """The five counts of a call."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_creation_5m: int = 0
    cache_creation_1h: int = 0
    cache_read: int = 0

    @property
    def cache_creation(self) -> int:
        return self.cache_creation_5m + self.cache_creation_1h


def of_text(text: str) -> int:
    return (len(text.encode("utf-8", "surrogatepass")) + 3) // 4


def from_messages(body: dict[str, Any]) -> list[Piece]:
    """The pieces of an Anthropic Messages body, in the order in which the service caches them."""
    blocks: list[Any] = [*body.get("tools", []), *_listed(body.get("system", []))]
    for message in body.get("messages", []):
        blocks.extend(_listed(message["content"]))
    return [_piece(block, _ttl(block.get("cache_control"))) for block in blocks if not _is_uncounted(block)]


def from_converse(body: dict[str, Any]) -> list[Piece]:
    """The pieces of a Converse body; a `cachePoint` block marks the piece before it."""
    pieces: list[Piece] = []
    for block in _converse_blocks(body):
        if "cachePoint" not in block:
            pieces.append(_piece(block, None))
        elif pieces:
            last = pieces[-1]
            pieces[-1] = Piece(last.content, last.tokens, "1h" if block["cachePoint"].get("ttl") == "1h" else "5m")
    return pieces


def _converse_blocks(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield from (body.get("toolConfig") or {}).get("tools", [])
    yield from body.get("system") or []
    for message in body.get("messages", []):
        yield from message["content"]


def _listed(content: Json) -> list[Any]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else list(content)


def _is_uncounted(block: dict[str, Any]) -> bool:
    return str(block.get("text", "")).startswith(UNCOUNTED)


def _ttl(marker: Json) -> Ttl | None:
    if not marker:
        return None
    return "1h" if marker.get("ttl") == "1h" else "5m"


def _piece(block: dict[str, Any], marker: Ttl | None) -> Piece:
    content = _compact({key: value for key, value in block.items() if key != "cache_control"})
    return Piece(content, _tokens(block, content), marker)


def _compact(block: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(block)
    except TypeError:  # a lone surrogate, which orjson refuses
        return json.dumps(block, separators=(",", ":")).encode()


def _tokens(block: dict[str, Any], content: bytes) -> int:
    if block.get("type") in {"image", "document"} or block.keys() & {"image", "document", "video"}:
        return _PICTURE_TOKENS
    if isinstance(block.get("text"), str):
        return of_text(block["text"])
    return (len(content) + 3) // 4


def total(pieces: Iterable[Piece]) -> int:
    """All input tokens of a request."""
    return _FRAME_TOKENS + _sum(pieces)


def _sum(pieces: Iterable[Piece]) -> int:
    return sum(piece.tokens for piece in pieces)


class PrefixCache:
    """Remembers which prefixes were marked, and splits a request's input by it."""

    def __init__(self) -> None:
        self._seen: dict[bytes, None] = {}

    def count(self, model: str, pieces: list[Piece]) -> Usage:
        """The input counts of one request; its own marked prefixes are remembered."""
        last = max((index for index, piece in enumerate(pieces) if piece.marker), default=-1)
        keys = list(_prefixes(model, pieces[: last + 1]))
        known = max((index for index, key in enumerate(keys) if key in self._seen), default=-1)
        usage = Usage(input_tokens=total(pieces[last + 1 :]), cache_read=_sum(pieces[: known + 1]))
        start = known + 1
        for index in range(start, last + 1):
            if marker := pieces[index].marker:
                _add_creation(usage, marker, _sum(pieces[start : index + 1]))
                start = index + 1
        self._remember(key for key, piece in zip(keys, pieces, strict=False) if piece.marker)
        return usage

    def _remember(self, keys: Iterable[bytes]) -> None:
        for key in keys:
            self._seen[key] = None
        while len(self._seen) > _REMEMBERED:
            del self._seen[next(iter(self._seen))]


def _prefixes(model: str, pieces: list[Piece]) -> Iterator[bytes]:
    running = hashlib.blake2b(model.encode(), digest_size=16)
    for piece in pieces:
        running.update(len(piece.content).to_bytes(8))
        running.update(piece.content)
        yield running.digest()


def _add_creation(usage: Usage, marker: Ttl, tokens: int) -> None:
    if marker == "1h":
        usage.cache_creation_1h += tokens
    else:
        usage.cache_creation_5m += tokens
