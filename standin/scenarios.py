"""What the stand-in understands in plain English: titles, the demo's two prompts, and a friendly word otherwise."""

import re
from collections.abc import Sequence

from standin import directives
from standin.asked import Asked, Turn, spoken
from standin.directives import Action, Call, Say

NAME = "Stand-in model: "
_TITLE_LENGTH = 60
_NO_TITLE = "Conversation"
_PROGRAM = re.compile(r"\b(?:write|create|make)\b.*\bprogram\b.*\bprimes?\b", re.IGNORECASE | re.DOTALL)
_QUESTION = re.compile(r"\blargest prime\b", re.IGNORECASE)
_COUNT = re.compile(r"\bfirst (\d{1,4})\b", re.IGNORECASE)
_FOLDER = re.compile(r"[Ww]orking directory: *(\S+)")
_LAST_NUMBER = re.compile(r"(\d+)\D*$")
_RUN = "python3 primes.py"
_SOURCE = '''"""Prints the first {count} primes."""

primes = []
candidate = 2
while len(primes) < {count}:
    if all(candidate % prime for prime in primes):
        primes.append(candidate)
    candidate += 1
print(*primes)
'''


def demo_prompts() -> tuple[str, str]:
    """The two turns of the demo: a task for the tools, and a question that needs the first turn's memory."""
    return (
        "Write a program that prints the first 20 primes to primes.py, run it, and tell me the largest.",
        "What was the largest prime that your program printed?",
    )


def title(turns: Sequence[Turn]) -> str:
    """The first words of what the user said, at most 60 characters."""
    words = directives.without(spoken(_first_text(turns))).split()
    chosen = ""
    for word in words:
        if len(chosen) + len(word) + 1 > _TITLE_LENGTH:
            break
        chosen = f"{chosen} {word}".strip()
    return chosen.rstrip(".,:;") or "".join(words[:1])[:_TITLE_LENGTH] or _NO_TITLE


def _first_text(turns: Sequence[Turn]) -> str:
    texts = (block.text for turn in turns if turn.role == "user" for block in turn.blocks if block.kind == "text")
    return next((text for text in texts if spoken(text)), "")


def play(asked: Asked, text: str, step: int) -> list[Action]:
    """The answer to a message without directives; `step` model calls of its turn are done."""
    if _PROGRAM.search(text) and asked.tools:
        return _write_and_run(asked, text, step)
    if _QUESTION.search(text):
        return [_say(_remembered_prime(asked.turns))]
    return [_say(_friendly(asked, text) if step == 0 else f"The tool answered: {last_results(asked.turns)[:500]}")]


def _say(text: str) -> Say:
    return Say(directives.pieces(NAME + text))


def _friendly(asked: Asked, text: str) -> str:
    seen = f"{len(asked.turns)} messages and {len(asked.tools)} tools"
    quoted = " ".join(text.split())[:200]
    return f"I am a script, not a language model. I see {seen} in this request, and you said: “{quoted}”."


def _write_and_run(asked: Asked, text: str, step: int) -> list[Action]:
    match step:
        case 0:
            count = _COUNT.search(text)
            source = _SOURCE.format(count=count[1] if count else 20)
            return [_say("I will write the program to primes.py and run it."), _writing(asked, source)]
        case 1 if "Bash" in asked.tools:
            return [Call("Bash", {"command": _RUN, "description": "Run the program"})]
        case _:
            return [_say(_reported(last_results(asked.turns)))]


def _writing(asked: Asked, source: str) -> Action:
    if "Write" in asked.tools:
        folder = _FOLDER.search(asked.system) or _FOLDER.search(_all_text(asked.turns))
        path = f"{folder[1].rstrip('/') if folder else '/workspace'}/primes.py"
        return Call("Write", {"file_path": path, "content": source})
    if "Bash" in asked.tools:
        command = f"cat > primes.py <<'END'\n{source}END"
        return Call("Bash", {"command": command, "description": "Write the program"})
    return _say("but this request offers neither Write nor Bash.")


def _all_text(turns: Sequence[Turn]) -> str:
    return "\n".join(block.text for turn in turns for block in turn.blocks if block.kind == "text")


def _reported(output: str) -> str:
    largest = _LAST_NUMBER.search(output)
    if not largest:
        return f"the program did not print any number. Its output was:\n\n{output}"
    return f"the program printed:\n\n{output.strip()}\n\nThe largest of these primes is {largest[1]}."


def _remembered_prime(turns: Sequence[Turn]) -> str:
    runs = {
        block.tool_use_id for turn in turns for block in turn.blocks if block.kind == "tool_use" and _RUN in block.text
    }
    outputs = [
        block.text
        for turn in turns
        for block in turn.blocks
        if block.kind == "tool_result" and block.tool_use_id in runs and not block.is_error
    ]
    largest = _LAST_NUMBER.search(outputs[-1]) if outputs else None
    if not largest:
        return "this conversation holds no output of such a program, so I cannot say."
    return f"the largest prime that the program printed was {largest[1]}; its output is in our conversation."


def last_results(turns: Sequence[Turn]) -> str:
    """The text of the tool results in the last user message that has any."""
    for turn in reversed(turns):
        results = [block.text for block in turn.blocks if block.kind == "tool_result"]
        if results:
            return "\n".join(results)
    return ""
