"""What a client asked, the same for both wire formats."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from standin import tokens
from standin.tokens import Json

_REMINDER = re.compile(r"<system-reminder>.*?</system-reminder>", re.DOTALL)


class Malformed(Exception):
    """The body is not what the service takes; the message is for the client."""


@dataclass(frozen=True, slots=True)
class Block:
    """One content block. `text` is what a person would read of it."""

    kind: Literal["text", "tool_use", "tool_result", "other"]
    text: str
    name: str = ""
    tool_use_id: str = ""
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class Turn:
    role: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request to the model, whichever operation it came by."""

    model: str
    operation: str
    system: str
    tools: Mapping[str, frozenset[str]]
    """The tools on offer, each with the names of its input's properties."""
    turns: tuple[Turn, ...]
    pieces: list[tokens.Piece]
    from_cli: bool
    """The Claude Code CLI made it, so that it may be a side call that only quotes what a person wrote."""
    session: str
    """Whatever tells two clients' conversations apart; empty if the client says nothing."""


def spoken(text: str) -> str:
    """The text without what the CLI wraps around it."""
    return _REMINDER.sub("", text).strip()


def parse_messages(model: str, operation: str, body: Json) -> Asked:
    """Read an Anthropic Messages body as Bedrock takes it."""
    _require(isinstance(body, dict), "Malformed input request: the body must be a JSON object")
    for field in ("anthropic_version", "max_tokens", "messages"):
        _require(field in body, f"Malformed input request: {field}: Field required")
    _require(bool(body["messages"]), "messages: at least one message is required")
    for field in ("model", "stream"):
        _require(field not in body, f"Malformed input request: extraneous key [{field}] is not permitted")
    try:
        system = body.get("system") or ""
        user = str((body.get("metadata") or {}).get("user_id", ""))
        return Asked(
            model=model,
            operation=operation,
            system=system if isinstance(system, str) else "\n".join(block["text"] for block in system),
            tools={tool["name"]: _properties(tool.get("input_schema")) for tool in body.get("tools") or []},
            turns=tuple(_turn(message) for message in body["messages"]),
            pieces=tokens.from_messages(body),
            from_cli=tokens.UNCOUNTED in str(system)[:200] or "session_id" in user,
            session=user,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise Malformed(f"Malformed input request: {error!r}") from error


def _require(held: bool, otherwise: str) -> None:
    if not held:
        raise Malformed(otherwise)


def _properties(schema: Mapping[str, Any] | None) -> frozenset[str]:
    return frozenset((schema or {}).get("properties") or ())


def _turn(message: Mapping[str, Any]) -> Turn:
    content = message["content"]
    if isinstance(content, str):
        return Turn(message["role"], (Block("text", content),))
    return Turn(message["role"], tuple(_block(block) for block in content))


def _block(block: Mapping[str, Any]) -> Block:
    match block["type"]:
        case "text":
            return Block("text", str(block["text"]))
        case "tool_use":
            return Block("tool_use", str(block["input"]), block["name"], block["id"])
        case "tool_result":
            text = spoken(_result_text(block.get("content")))
            return Block("tool_result", text, "", block["tool_use_id"], bool(block.get("is_error")))
        case kind:
            return Block("other", f"[{kind}]")


def _result_text(content: Json) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    return "\n".join(str(part.get("text", f"[{part.get('type', 'json')}]")) for part in content)


def parse_converse(model: str, operation: str, body: Json) -> Asked:
    """Read a Converse body."""
    _require(isinstance(body, dict) and bool(body.get("messages")), "messages: at least one message is required")
    try:
        return Asked(
            model=model,
            operation=operation,
            system="\n".join(block["text"] for block in body.get("system") or [] if "text" in block),
            tools=_converse_tools(body),
            turns=tuple(_converse_turn(message) for message in body["messages"]),
            pieces=tokens.from_converse(body),
            from_cli=False,
            session="",
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise Malformed(f"Malformed input request: {error!r}") from error


def _converse_tools(body: Mapping[str, Any]) -> dict[str, frozenset[str]]:
    tools = (body.get("toolConfig") or {}).get("tools", [])
    specs = [tool["toolSpec"] for tool in tools if "toolSpec" in tool]
    return {spec["name"]: _properties((spec.get("inputSchema") or {}).get("json")) for spec in specs}


def _converse_turn(message: Mapping[str, Any]) -> Turn:
    blocks = (_converse_block(block) for block in message["content"] if "cachePoint" not in block)
    return Turn(message["role"], tuple(blocks))


def _converse_block(block: Mapping[str, Any]) -> Block:
    if "text" in block:
        return Block("text", str(block["text"]))
    if use := block.get("toolUse"):
        return Block("tool_use", str(use["input"]), use["name"], use["toolUseId"])
    if result := block.get("toolResult"):
        text = spoken(_result_text(result["content"]))
        return Block("tool_result", text, "", result["toolUseId"], result.get("status") == "error")
    return Block("other", f"[{next(iter(block), 'empty')}]")
