"""`python -m standin.measure`: how fast the stand-in sends, each figure with one core's worth of server."""

import asyncio
import json
import resource
import sys
import time

import aiohttp
import uvloop

_PATH = "/model/measured/invoke-with-response-stream"


def _body(tokens: int) -> bytes:
    message = {"role": "user", "content": f"@stream n={tokens}"}
    return json.dumps({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 1, "messages": [message]}).encode()


async def _client(session: aiohttp.ClientSession, calls: int, tokens: int) -> None:
    for _ in range(calls):
        async with session.post(_PATH, data=_body(tokens)) as answer:
            async for _ in answer.content.iter_any():
                pass


async def _round(url: str, clients: int, calls: int, tokens: int) -> None:
    async with aiohttp.ClientSession(url, connector=aiohttp.TCPConnector(limit=0)) as session:
        await session.post("/_standin/reset")
        began = time.perf_counter()
        await asyncio.gather(*(_client(session, calls, tokens) for _ in range(clients)))
        took = time.perf_counter() - began
        async with session.get("/_standin/counters") as answer:
            entries = (await answer.json())["calls"]
    frames = sum(entry["frames"] for entry in entries)
    shape = f"{clients:3} at once, {tokens:5} tokens each"
    sys.stdout.write(f"{shape}: {frames / took:9,.0f} frames/s {len(entries) / took:7,.0f} answers/s\n")


async def _measure() -> None:
    server = await asyncio.create_subprocess_exec(sys.executable, "-m", "standin", stdout=asyncio.subprocess.PIPE)
    try:
        announced = await server.stdout.readline() if server.stdout else b""
        for shape in ((1, 20, 2000), (8, 10, 2000), (32, 50, 32), (128, 10, 32)):
            await _round(json.loads(announced)["url"], *shape)
    finally:
        server.terminate()
        await server.wait()
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    sys.stdout.write(f"server: {spent.ru_utime + spent.ru_stime:.2f} s of CPU, {spent.ru_maxrss // 1024} MiB at most\n")


if __name__ == "__main__":
    uvloop.run(_measure())
