"""Puts the runner's parts together and runs them until the sandbox wants it to end."""

import asyncio
import logging
import os
import signal

import claude_agent_sdk

from runner import __version__, processes
from runner.agent import Agent
from runner.config import Config
from runner.outbox import Outbox
from runner.protocol import Hello
from runner.relay import Relay
from runner.server import Server
from runner.store import RelayedStore


def run(config: Config) -> None:
    """Serve until SIGTERM or SIGINT."""
    logging.basicConfig(format="%(levelname)s %(name)s %(message)s", level=logging.WARNING)
    asyncio.run(serve(config))


async def serve(config: Config) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    outbox = Outbox(config.buffer_bytes)
    store = RelayedStore(outbox)
    relay = Relay(config.gateway_socket)
    await relay.start()
    agent = Agent(config, relay.port, outbox, store)
    store.on_failure = agent.store_failed
    server = Server(outbox, lambda: _hello(agent, outbox), agent.submit, store.take)
    processes.adopt_orphans()
    processes.close_memory()
    loop.add_signal_handler(signal.SIGCHLD, _reap, agent)
    await server.listen(config.control_socket)
    await _until(stop, agent)
    await server.close()
    await relay.close()


async def _until(stop: asyncio.Event, agent: Agent) -> None:
    async with asyncio.TaskGroup() as tasks:
        working = tasks.create_task(agent.run())
        await stop.wait()
        working.cancel()
        await agent.close()


def _hello(agent: Agent, outbox: Outbox) -> Hello:
    return Hello(
        runner_version=__version__,
        sdk_version=claude_agent_sdk.__version__,
        pid=os.getpid(),
        open=agent.open,
        turn=agent.turn,
        last_seq=outbox.last_seq,
    )


def _reap(agent: Agent) -> None:
    own = agent.own_children
    if own is not None:
        processes.reap_orphans(own)
