"""From nothing to an answer, as a front end does it."""

import json

import aiohttp
import pytest

from standin.scenarios import demo_prompts
from tests.end_to_end.client import Event, Json, Talk, check_numbers, form, kinds, of, status_of, text_of
from tests.end_to_end.conftest import House

pytestmark = [pytest.mark.needs_cli, pytest.mark.needs_bubblewrap]

TASK, QUESTION = demo_prompts()
OPTIONAL = {"text_delta", "thinking_delta", "tool_input_delta"}
"""How many there are of these depends on the moment."""


def shape(events: list[Event]) -> list[str]:
    """The order of events, without what depends on the moment."""
    return [name(event) for event in events if event.type not in OPTIONAL and name(event) != "progress(tool,pending)"]


def name(event: Event) -> str:
    if event.type != "progress":
        return event.type
    told = (event.data["type"], event.data.get("tool_status"))
    return f"progress({','.join(word for word in told if word)})"


TOOL = ["progress(tool,running)", "tool_call", "progress(tool,completed)", "tool_result"]
SPEECH = ["progress(generating)", "assistant"]


async def test_an_agent_writes_a_program_runs_it_and_tells_what_it_printed(talk: Talk) -> None:
    async with talk.streaming(TASK) as stream:
        headers = stream.response.headers
        events = await stream.rest()
    first = ["progress(setup)", "init", *SPEECH, *TOOL, *TOOL, *SPEECH, "title", "context_status", "done"]
    assert shape(events) == first
    assert status_of(events) == "success"
    assert "The largest of these primes is 71." in text_of(events)
    assert [call["tool_name"] for call in of("tool_call", events)] == ["Write", "Bash"]
    assert of("tool_result", events)[1]["content"].startswith("2 3 5 7 11")
    check_headers(headers)
    check_numbers(events)
    await check_what_is_told(talk, events)

    second = await talk.turn(QUESTION)
    assert shape(second) == ["progress(setup)", "init", *SPEECH, "context_status", "done"]
    assert "the largest prime that the program printed was 71" in text_of(second)


def check_headers(headers: "aiohttp.typedefs.CIMultiDictProxy[str]") -> None:
    assert headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert headers["Cache-Control"] == "no-store, no-transform"
    assert headers["X-Accel-Buffering"] == "no"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "Content-Encoding" not in headers
    assert "Content-Length" not in headers
    assert "Server" not in headers
    assert {"X-Request-ID", "X-Process-Time", "X-Run-ID"} <= headers.keys()


async def check_what_is_told(talk: Talk, events: list[Event]) -> None:
    """The events, the run, the conversation and the messages say the same."""
    (init,), (title,), (context,), done = (
        *(of(kind, events) for kind in ("init", "title", "context_status")),
        events[-1].data,
    )
    run = await talk.run(init["run_id"])
    assert (run["status"], run["error_type"], run["last_event_id"]) == ("succeeded", None, len(events))
    assert (run["usage"], run["cost_usd"], run["turn_count"]) == (done["usage"], done["cost_usd"], done["turn_count"])
    assert float(done["cost_usd"]) > 0
    assert done["usage"]["total_tokens"] > 13_000
    assert done["model_usage"].keys() == {"sonnet", "haiku"}
    assert init["model"] == "sonnet"
    shown = await talk.shown()
    assert shown["title"] == title["title"]
    assert TASK.startswith(title["title"].rstrip("…"))
    assert shown["session_id"] == init["session_id"] == done["session_id"]
    assert shown["estimated_context_tokens"] == context["current_context_tokens"] > 10_000
    assert context["max_context_tokens"] == 200_000
    assert (context["warning_level"], context["can_continue"]) == ("normal", True)
    user, assistant = await talk.messages()
    assert user["content"] == {"type": "user", "text": TASK}
    assert assistant["run_id"] == user["run_id"] == init["run_id"]
    told = [{"event": event.type, "data": event.data} for event in events if event.type in SAID]
    assert assistant["content"]["events"] == told


SAID = {"assistant", "thinking", "tool_call", "tool_result"}


async def test_the_tenants_prompt_reaches_the_model_and_an_edit_the_next_turn(house: House) -> None:
    tenant_id = await house.tenant(system_prompt="You are the helper OKAPI of Acme.")
    talk = await house.talk(tenant_id)
    async with house.api.stream("POST", f"{talk.path}/stream", data=form("@text by a form")) as stream:
        assert text_of(await stream.rest()) == "by a form"
    assert "OKAPI" in await system_of_last_turn(house, talk)

    await house.api.ask("PUT", f"/api/tenants/{tenant_id}", {"system_prompt": "You are the helper TAPIR of Acme."})
    assert status_of(await talk.turn("@text edited")) == "success"
    seen = await system_of_last_turn(house, talk)
    assert "TAPIR" in seen
    assert "OKAPI" not in seen


async def system_of_last_turn(house: House, talk: Talk) -> str:
    turns = [asked["body"] for asked in await house.asked_of_model() if talk.id in json.dumps(asked["body"])]
    return json.dumps(turns[-1]["system"])


async def test_thinking_sub_agents_and_failing_tools_are_told_as_what_they_are(talk: Talk) -> None:
    inner = json.dumps({"prompt": '@tool Bash {"command": "echo deep"}\n@echo_results'})
    failing = '@tool Bash {"command": "echo wrong >&2; exit 3"}'
    events = await talk.turn(f"@think let me see\n@text one\n{failing}\n@agent {inner}\n@text the end")
    assert status_of(events) == "success"
    assert [thought["content"] for thought in of("thinking", events)] == ["let me see"]
    (begun,), (ended,) = of("subagent_start", events), of("subagent_end", events)
    assert begun["agent_id"] == ended["agent_id"]
    assert ended["status"] == "completed"
    inside = [event.data for event in events if event.data.get("parent_agent_id") == begun["agent_id"]]
    assert any(data.get("content") == "deep" for data in inside)
    results = {result["tool_name"]: result for result in of("tool_result", events) if "parent_agent_id" not in result}
    assert (results["Bash"]["status"], results["Bash"]["is_error"]) == ("error", True)
    assert "wrong" in results["Bash"]["content"]
    assert kinds(events)[-1] == "done"


async def test_awkward_text_comes_back_as_it_is(talk: Talk) -> None:
    awkward = r"a\nb\u2028c\u2029d\u0085e data: id: 7 \u005cn 😀 event: done \ud83d\ude00"
    events = await talk.turn(f"@text {awkward}")
    assert text_of(events) == "a\nb\u2028c\u2029d\x85e data: id: 7 \\n 😀 event: done 😀"
    stored: Json = (await talk.messages())[1]["content"]
    assert stored["text"] == text_of(events)
