"""Answers in the Converse format, read by the real botocore client."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import botocore.session
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, EventStreamError

from standin import server
from tests.standin.client import MODEL, Client, messages_body

TOOLS = {"tools": [{"toolSpec": {"name": "clock", "inputSchema": {"json": {"type": "object"}}}}]}


@pytest.fixture
def bedrock(address: server.Address) -> Iterator[Any]:
    session = botocore.session.Session()
    session.set_credentials("AKIDEXAMPLE", "not-a-secret")
    once = Config(retries={"total_max_attempts": 1})
    client = session.create_client("bedrock-runtime", "us-west-2", endpoint_url=address.url, config=once)
    yield client
    client.close()


def said(*texts: str) -> list[dict[str, Any]]:
    roles = ("user", "assistant")
    return [{"role": roles[index % 2], "content": [{"text": text}]} for index, text in enumerate(texts)]


def read(answer: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [next(iter(event.items())) for event in answer["stream"]]


async def streamed(bedrock: Any, messages: list[dict[str, Any]], **more: Any) -> list[tuple[str, dict[str, Any]]]:
    def ask() -> list[tuple[str, dict[str, Any]]]:
        return read(bedrock.converse_stream(modelId=MODEL, messages=messages, **more))

    return await asyncio.to_thread(ask)


async def whole(bedrock: Any, messages: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return await asyncio.to_thread(bedrock.converse, modelId=MODEL, messages=messages, **more)


async def test_a_stream_has_every_event_of_converse_in_order(bedrock, client: Client):
    events = await streamed(bedrock, said("@text one two"))
    assert [name for name, _ in events] == [
        "messageStart",
        "contentBlockDelta",
        "contentBlockDelta",
        "contentBlockStop",
        "messageStop",
        "metadata",
    ]
    assert events[-1][1]["usage"] | {"cacheDetails": []} == {
        "inputTokens": 7,
        "outputTokens": 2,
        "totalTokens": 9,
        "cacheReadInputTokens": 0,
        "cacheWriteInputTokens": 0,
        "cacheDetails": [],
    }
    (call,) = await client.calls()
    assert (call["model"], call["operation"], call["finished"]) == (MODEL, "converse-stream", True)
    assert (call["input_tokens"], call["output_tokens"]) == (7, 2)


async def test_whole_and_streamed_answers_say_and_count_the_same(bedrock):
    script = said('@think deep\n@text words\n@tool clock {"zone": "UTC"}')
    answer = await whole(bedrock, script, toolConfig=TOOLS)
    kinds = [next(iter(block)) for block in answer["output"]["message"]["content"]]
    assert kinds == ["reasoningContent", "text", "toolUse"]
    assert answer["stopReason"] == "tool_use"
    events = await streamed(bedrock, script, toolConfig=TOOLS)
    assert events[-1][1]["usage"]["outputTokens"] == answer["usage"]["outputTokens"]
    starts = [body["start"]["toolUse"]["name"] for name, body in events if name == "contentBlockStart"]
    assert starts == ["clock"]


async def test_a_script_goes_on_after_tool_results(bedrock):
    use = {"toolUse": {"toolUseId": "a", "name": "clock", "input": {}}}
    result = {"toolResult": {"toolUseId": "a", "content": [{"text": "noon"}]}}
    turns = [*said("@tool clock {}\n@echo_results"), {"role": "assistant", "content": [use]}]
    answer = await whole(bedrock, [*turns, {"role": "user", "content": [result]}], toolConfig=TOOLS)
    assert answer["output"]["message"]["content"] == [{"text": "Stand-in model: noon"}]


async def test_memory_and_caching_work_as_in_the_other_format(bedrock):
    answer = await whole(bedrock, said("the code is 42", "noted", r"@recall code is (\d+)"))
    assert answer["output"]["message"]["content"][0]["text"].endswith("42")
    system = [{"text": "s" * 400}, {"cachePoint": {"type": "default"}}]
    counts = [(await whole(bedrock, said("hello"), system=system))["usage"] for _ in range(2)]
    assert [count["cacheWriteInputTokens"] for count in counts] == [100, 0]
    assert [count["cacheReadInputTokens"] for count in counts] == [0, 100]


async def test_botocore_can_count_tokens_of_both_kinds_of_body(bedrock):
    converse = {"converse": {"messages": said("hello")}}
    messages = {"invokeModel": {"body": json.dumps(messages_body("hello")).encode()}}
    for wanted in (converse, messages):
        answer = await asyncio.to_thread(bedrock.count_tokens, modelId=MODEL, input=wanted)
        assert answer["inputTokens"] == 5


async def test_failures_are_what_botocore_knows_them_as(bedrock):
    with pytest.raises(ClientError) as refused:
        await whole(bedrock, said("@fail throttling"))
    assert refused.value.response["Error"]["Code"] == "ThrottlingException"
    with pytest.raises(EventStreamError, match="modelStreamErrorException"):
        await streamed(bedrock, said("@text a\n@fail model_error"))
    events = await streamed(bedrock, said("@text a\n@fail no_metrics"))
    assert events[-1][0] == "messageStop"
    events = await streamed(bedrock, said("@text a\n@fail missing_end"))
    assert events[-1][0] == "contentBlockStop"


async def test_the_signature_is_recorded_and_can_be_required(bedrock, client: Client):
    await client.control("settings", {"require_signature": True})
    await whole(bedrock, said("hi"))
    (recorded,) = await client.control("requests")
    headers = {name.lower(): value for name, value in recorded["headers"]}
    assert headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
    status, _ = await client.post("converse", {"messages": said("hi")})
    assert status == 403
    assert (await client.calls())[-1]["failure"] == "unsigned"
