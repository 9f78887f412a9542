"""Tool calls in few words."""

from typing import Any

LONGEST = 500
"""Characters of a string in a tool's input that clients see."""
SHORTENED = "… (shortened)"
SUMMARY = 120
GREATEST = 2**53

_TELLING = ("description", "command", "file_path", "path", "pattern", "url", "query", "prompt")


def shortened(value: Any, depth: int = 0) -> Any:  # noqa: ANN401 -- any JSON
    """The same JSON with long strings cut, and numbers that not every reader can hold told as text."""
    if isinstance(value, str):
        return value if len(value) <= LONGEST else value[:LONGEST] + SHORTENED
    if isinstance(value, int | float) and not -GREATEST <= value <= GREATEST:
        return shortened(str(value) if isinstance(value, float) else "a very large number")
    if depth > 20:
        return SHORTENED
    if isinstance(value, dict):
        return {key: shortened(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [shortened(item, depth + 1) for item in value]
    return value


def summary(name: str, arguments: dict[str, Any]) -> str:
    """A tool's name with the one argument that tells most."""
    told = next((arguments[key] for key in _TELLING if isinstance(arguments.get(key), str)), "")
    line = " ".join(told.split())
    return f"{name}: {line[:SUMMARY]}" if line else name
