"""`python -m standin`: serves the stand-in until it is told to end."""

import argparse
import asyncio
import json
import signal
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import uvloop

from standin import server
from standin.playing import Settings


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m standin", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    parser.add_argument("--port-file", type=Path, help="where to write the port once it listens")
    parser.add_argument("--uds", type=Path, help="a unix socket to listen on as well")
    parser.add_argument("--ttft", type=float, default=0.0, help="seconds before the first byte")
    parser.add_argument("--rate", type=float, default=0.0, help="tokens per second; 0: as fast as possible")
    parser.add_argument("--require-signature", action="store_true", help="refuse calls without a SigV4 header")
    return parser.parse_args()


async def _serve(arguments: argparse.Namespace) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    settings = Settings(ttft=arguments.ttft, rate=arguments.rate, require_signature=arguments.require_signature)
    where = {"host": arguments.host, "port": arguments.port, "uds": arguments.uds}
    async with server.running(**where, settings=settings) as address:
        _announce(address, arguments.port_file)
        await ended.wait()


def _announce(address: server.Address, port_file: Path | None) -> None:
    if port_file:
        unfinished = port_file.with_name(f"{port_file.name}.new")
        unfinished.write_text(f"{address.port}\n")
        unfinished.replace(port_file)
    sys.stdout.write(json.dumps({"url": address.url, **asdict(address)}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        uvloop.run(_serve(_arguments()))
