"""The control paths, unknown paths and the command."""

import asyncio
import json
import signal
import sys
from pathlib import Path

import aiohttp

from standin import ledger
from tests.standin.client import Client, messages_body

ROOT = Path(__file__).parents[2]


async def test_counters_sum_calls_by_model_and_operation(client: Client):
    await client.stream("@stream n=5")
    await client.stream("@stream n=7")
    await client.post("invoke", messages_body("@stream n=2"))
    await client.post("count-tokens", {"input": {"converse": {"messages": []}}})
    counters = await client.control("counters")
    (operations,) = counters["models"].values()
    assert {name: sums["output_tokens"] for name, sums in operations.items()} == {
        "invoke-with-response-stream": 12,
        "invoke": 2,
        "count-tokens": 0,
    }
    assert (counters["totals"]["calls"], counters["totals"]["output_tokens"]) == (4, 14)
    assert counters["in_flight"] == 0


async def test_reset_forgets_everything(client: Client):
    await client.stream("hello")
    await client.control("reset", {})
    assert (await client.control("counters"))["totals"]["calls"] == 0
    assert await client.control("requests") == []


async def test_requests_show_headers_and_body(client: Client):
    await client.stream("hello", system="be brief")
    (recorded,) = await client.control("requests")
    assert recorded["body"]["system"] == "be brief"
    assert recorded["path"].endswith("/invoke-with-response-stream")
    assert ["Content-Type", "application/json"] in recorded["headers"]


async def test_requests_are_bounded_in_number_and_size(client: Client):
    for _ in range(205):
        await client.session.get("/odd")
    assert len(await client.control("requests")) == 200
    kept = ledger.Ledger()
    for number in range(3):
        kept.record(ledger.Recorded("POST", "/", [], bytes(30_000_000), str(number)))
    assert [recorded.request_id for recorded in kept.requests()] == ["1", "2"]


async def test_settings_refuse_what_they_do_not_know(client: Client):
    assert (await client.control("settings", {"ttft": 0.5}))["ttft"] == 0.5
    for wrong in ({"speed": 1}, {"ttft": "fast"}, {"rate": -1}, []):
        async with client.session.post("/_standin/settings", json=wrong) as answer:
            assert answer.status == 400


async def test_unknown_paths_are_errors_in_the_form_of_the_service(client: Client):
    for method, path in (
        ("GET", "/inference-profiles?type=SYSTEM_DEFINED"),
        ("POST", "/model/m/explode"),
        ("PUT", "/"),
    ):
        async with client.session.request(method, path) as answer:
            assert answer.status == 404
            assert answer.headers["x-amzn-ErrorType"] == "UnknownOperationException"
            assert "message" in await answer.json()
    assert (await client.control("health"))["status"] == "ok"


async def test_the_command_announces_its_address_and_ends_on_sigterm(tmp_path):
    port_file = tmp_path / "port"
    command = (sys.executable, "-m", "standin", "--port-file", str(port_file), "--ttft", "0.01", "--rate", "1000")
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)
    try:
        announced = json.loads(await asyncio.wait_for(process.stdout.readline(), 20))
        assert port_file.read_text() == f"{announced['port']}\n"
        async with aiohttp.ClientSession(announced["url"]) as session:
            assert (await Client(session).stream("@text alive")).text == "alive"
    finally:
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) == 0
