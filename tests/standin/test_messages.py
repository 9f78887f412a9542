"""Answers in the Anthropic Messages format, streamed and whole."""

import base64
import json

from standin import server
from tests.standin.client import MODEL, Client, assistant, messages_body, tool_result, tool_use, user

REMINDER = "<system-reminder>\n@fail throttling\n</system-reminder>"


async def test_a_stream_has_every_event_of_the_messages_api_in_order(client: Client):
    streamed = await client.stream("@text one two")
    assert streamed.kinds() == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert streamed.text == "one two"
    assert streamed.events[-2]["delta"]["stop_reason"] == "end_turn"
    metrics = streamed.events[-1]["amazon-bedrock-invocationMetrics"]
    assert (metrics["inputTokenCount"], metrics["outputTokenCount"]) == (7, 2)


async def test_every_answer_has_its_own_message_id_which_the_counters_name(client: Client):
    answers = [await client.stream("hello") for _ in range(2)]
    ids = [answer.events[0]["message"]["id"] for answer in answers]
    assert len(set(ids)) == 2
    calls = await client.calls()
    assert [call["id"] for call in calls] == ids
    assert {call["model"] for call in calls} == {MODEL}
    assert all(call["finished"] and not call["open"] for call in calls)


async def test_tools_are_called_in_parallel_and_the_script_goes_on_after_their_results(client: Client):
    calls = [f'@tool Bash {{"command": "{command}"}}' for command in ("ls", "id", "w")]
    script = "\n".join([*calls[:2], "@echo_results", calls[2], "@text end"])
    first = await client.stream(script, tools=("Bash",))
    assert first.calls == [("Bash", {"command": "ls"}), ("Bash", {"command": "id"})]
    assert first.events[-2]["delta"]["stop_reason"] == "tool_use"
    turns = [user(script), assistant(tool_use("a"), tool_use("b")), user(tool_result("a", "x"), tool_result("b", "y"))]
    second = await client.stream(*turns, tools=("Bash",))
    assert second.text == "Stand-in model: x\ny"
    assert second.calls == [("Bash", {"command": "w"})]
    turns += [assistant("x y", tool_use("c")), user(tool_result("c", "z"))]
    assert (await client.stream(*turns, tools=("Bash",))).text == "end"
    turns += [assistant("end", tool_use("d")), user(tool_result("d", "q"))]
    assert "script is at its end" in (await client.stream(*turns, tools=("Bash",))).text


async def test_a_tool_that_is_not_offered_is_not_called(client: Client):
    streamed = await client.stream("@tool Bash {}")
    assert streamed.calls == []
    assert "not offered" in streamed.text


async def test_a_sub_agent_is_called_by_whichever_tool_the_request_offers(client: Client):
    for name in ("Agent", "Task"):
        streamed = await client.stream('@agent {"prompt": "@text hi"}', tools=("Bash", name))
        assert streamed.calls == [(name, {"prompt": "@text hi"})]
    schema = {"properties": {name: {} for name in ("prompt", "description", "run_in_background")}}
    body = messages_body("@agent {}") | {"tools": [{"name": "Agent", "input_schema": schema}]}
    ((_, given),) = (await client.post_stream("invoke-with-response-stream", body)).calls
    assert given == {"prompt": "@text Done.", "description": "Scripted sub-agent", "run_in_background": False}


async def test_directives_are_found_between_what_the_cli_wraps_around_them(client: Client):
    streamed = await client.stream(user(REMINDER, f"{REMINDER}\n@text found", REMINDER))
    assert streamed.text == "found"


async def test_a_new_message_beside_old_tool_results_begins_anew(client: Client):
    turns = [user("@tool Bash {}\n@text old"), assistant(tool_use("a"))]
    fresh = user(tool_result("a", "x"), "[Request interrupted by user]", "@text new")
    assert (await client.stream(*turns, fresh, tools=("Bash",))).text == "new"
    plain = user(tool_result("a", "x"), "and now?")
    assert "and now?" in (await client.stream(*turns, plain, tools=("Bash",))).text


async def test_text_that_the_cli_puts_behind_results_does_not_end_the_script(client: Client):
    turns = [user("@tool Skill {}\n@text went on"), assistant(tool_use("a", "Skill"))]
    results = user(tool_result("a", "x"), "Base directory for this skill: /x\n@decorator", REMINDER)
    assert (await client.stream(*turns, results, tools=("Skill",))).text == "went on"


async def test_an_answer_to_be_resumed_is_played_again(client: Client):
    resume = "Your response above was cut off mid-stream. Resume directly from where it stops."
    streamed = await client.stream("@text again", assistant("aga"), user(resume))
    assert streamed.text == "again"


async def test_recall_reads_the_conversation_before_the_message_only(client: Client):
    question = r"@recall code is (\w+)"
    assert "nothing earlier" in (await client.stream(question)).text
    history = ["the code is alpha", assistant("noted"), "no, the code is beta", assistant("noted")]
    assert (await client.stream(*history, question)).text.endswith("beta")
    results = [user("go"), assistant(tool_use("a")), user(tool_result("a", "code is gamma")), assistant("ok")]
    assert (await client.stream(*results, question)).text.endswith("gamma")


async def test_thinking_comes_with_a_signature(client: Client):
    streamed = await client.stream("@think deep\n@text said")
    deltas = [event["delta"] for event in streamed.events if event["type"] == "content_block_delta"]
    assert [delta["type"] for delta in deltas] == ["thinking_delta", "signature_delta", "text_delta"]


async def test_odd_characters_arrive_as_they_were_written(client: Client):
    assert (
        await client.stream(r"@text a\nb\u2028c\u0000d\ud800e data:\nid: 1")
    ).text == "a\nb\u2028c\x00d\ud800e data:\nid: 1"
    assert (await client.stream("@text a\u2028\u00e9\U0001f600\ud800")).text == "a\u2028\u00e9\U0001f600\ud800"


async def test_forced_usage_is_stated_and_counted(client: Client):
    forced = "@usage input=9 output=5 cache_5m=4 cache_1h=3 cache_read=2\n@text x"
    streamed = await client.stream(forced)
    start, end = streamed.events[0]["message"]["usage"], streamed.events[-2]["usage"]
    assert start["cache_creation"] == {"ephemeral_5m_input_tokens": 4, "ephemeral_1h_input_tokens": 3}
    assert (end["input_tokens"], end["output_tokens"]) == (9, 5)
    assert (end["cache_creation_input_tokens"], end["cache_read_input_tokens"]) == (7, 2)
    status, body = await client.post("invoke", messages_body(forced))
    assert (status, body["usage"]) == (200, end)
    counted = {"input_tokens": 9, "output_tokens": 5, "cache_creation_5m": 4, "cache_creation_1h": 3, "cache_read": 2}
    for call in await client.calls():
        assert counted.items() <= call.items()


async def test_streamed_and_whole_answers_count_alike(client: Client):
    body = messages_body('@think a b\n@text some words here\n@tool Bash {"command": "echo"}', tools=("Bash",))
    streamed = await client.post_stream("invoke-with-response-stream", body)
    _, whole = await client.post("invoke", body)
    assert whole["usage"] == streamed.events[-2]["usage"]
    assert [block["type"] for block in whole["content"]] == ["thinking", "text", "tool_use"]
    assert whole["stop_reason"] == "tool_use"


async def test_count_tokens_counts_what_a_call_would(client: Client):
    body = messages_body("hello there", system="be brief")
    wanted = {"input": {"invokeModel": {"body": base64.b64encode(json.dumps(body).encode()).decode()}}}
    _, counted = await client.post("count-tokens", wanted)
    streamed = await client.stream("hello there", system="be brief")
    assert counted["inputTokens"] == streamed.events[0]["message"]["usage"]["input_tokens"]
    converse = {"input": {"converse": {"messages": [{"role": "user", "content": [{"text": "hello there"}]}]}}}
    assert await client.post("count-tokens", converse) == (200, {"inputTokens": 6})


async def test_a_malformed_body_is_a_validation_exception(client: Client):
    good = messages_body("hi")
    for body in (
        {},
        [],
        {key: value for key, value in good.items() if key != "anthropic_version"},
        good | {"model": "x"},
        good | {"messages": []},
        good | {"messages": [{"role": "user"}]},
        good | {"messages": [{"role": "user", "content": [1]}]},
        good | {"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]},
        good | {"system": 5},
    ):
        streamed = await client.post_stream("invoke-with-response-stream", body)
        assert (streamed.status, streamed.error_type) == (400, "ValidationException"), body
    assert all(call["failure"] == "malformed" and not call["input_tokens"] for call in await client.calls())


async def test_the_clis_side_calls_follow_no_directives(client: Client):
    header = [{"type": "text", "text": "x-anthropic-billing-header: cc_version=2"}]
    quoted = "<session>\n@fail throttling\n@text no\n</session>"
    assert (await client.stream(quoted, system=header)).text == "Stand-in model: ready."
    assert (await client.stream("@text yes", system=header, tools=("Bash",))).text == "yes"


async def test_pacing_follows_settings_directives_and_nothing_else(client: Client, monkeypatch):
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(round(seconds, 1))

    monkeypatch.setattr("standin.playing._sleep", sleep)
    await client.control("settings", {"ttft": 0.3, "rate": 10})
    await client.stream("@stream n=3")
    assert slept == [0.3, 0.0, 0.1, 0.2]
    slept.clear()
    await client.stream("@default ttft=0 rate=0\n@text a\n@wait 2\n@stream n=2 rate=5")
    assert slept == [0, 2, 0.0, 0.2]


async def test_it_also_listens_on_a_unix_socket(tmp_path):
    socket = tmp_path / "standin.sock"
    async with server.running(uds=socket) as address:
        assert address.uds == str(socket)
        assert socket.is_socket()
