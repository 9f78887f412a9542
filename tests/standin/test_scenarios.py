"""What is understood in plain English."""

import pytest

from standin import scenarios
from tests.standin.client import Client, assistant, messages_body, tool_result, tool_use, user

TASK, QUESTION = scenarios.demo_prompts()
RUN = "python3 primes.py"


def played(output: str, run: str = RUN) -> list[dict]:
    return [
        user(TASK),
        assistant(tool_use("w", "Write")),
        user(tool_result("w", "File created")),
        assistant(tool_use("b", "Bash", command=run)),
        user(tool_result("b", output)),
    ]


async def test_the_program_is_written_run_and_reported_from_its_real_output(client: Client):
    tools = ("Bash", "Write")
    place = "<system-reminder> - Primary working directory: /somewhere\n</system-reminder>"
    first = await client.stream(user(place, TASK), tools=tools)
    ((name, given),) = first.calls
    assert (name, given["file_path"]) == ("Write", "/somewhere/primes.py")
    second = await client.stream(*played("")[:3], tools=tools)
    assert second.calls[0][1]["command"] == RUN
    third = await client.stream(*played("2 3 5\n71\n"), tools=tools)
    assert "2 3 5\n71" in third.text
    assert third.text.endswith("is 71.")


async def test_the_written_program_prints_as_many_primes_as_asked(client: Client, capsys):
    streamed = await client.stream(TASK.replace("20", "5"), tools=("Write",))
    exec(streamed.calls[0][1]["content"], {})
    assert capsys.readouterr().out == "2 3 5 7 11\n"


async def test_without_a_write_tool_the_program_is_written_by_bash(client: Client):
    streamed = await client.stream(TASK, tools=("Bash",))
    assert streamed.calls[0][1]["command"].startswith("cat > primes.py")


async def test_a_run_without_numbers_is_reported_as_it_is(client: Client):
    streamed = await client.stream(*played("command not found"), tools=("Bash", "Write"))
    assert "did not print any number" in streamed.text


async def test_the_question_is_answered_from_the_conversation_or_not_at_all(client: Client):
    history = [*played("2 3 71"), assistant("done")]
    assert "was 71" in (await client.stream(*history, QUESTION, tools=("Bash",))).text
    assert "cannot say" in (await client.stream(QUESTION, tools=("Bash",))).text
    other = [*played("2 3 71", run="ls"), assistant("done")]
    assert "cannot say" in (await client.stream(*other, QUESTION, tools=("Bash",))).text


async def test_anything_else_gets_a_sentence_that_says_what_it_is(client: Client):
    streamed = await client.stream("How are you?")
    assert streamed.text.startswith("Stand-in model: I am a script, not a language model.")
    assert "How are you?" in streamed.text


@pytest.mark.parametrize(
    ("message", "title"),
    [
        ("Write a program, please.", "Write a program, please"),
        ("word " * 40, ("word " * 12).strip()),
        ("x" * 90, "x" * 60),
        ("@text*3 Hello there\n@fail throttling", "Hello there"),
        ("@echo_results", "Conversation"),
    ],
)
async def test_a_title_is_made_of_the_first_words_whatever_the_directives(client: Client, message, title):
    body = messages_body(message, system="Give the conversation a short title.")
    status, answer = await client.post("invoke", body)
    assert (status, answer["content"]) == (200, [{"type": "text", "text": title}])
    assert len(title) <= 60
