"""`python -m demo`: everything set up and started, one task done by an agent, and the server left for you to try."""

import argparse
import asyncio
import os
import signal
import sys
from pathlib import Path

from pydantic import ValidationError

from app.config import Settings
from demo.answers import Answers, find_answers
from demo.client import open_api
from demo.errors import DemoFailed
from demo.flow import Flow
from demo.log import last_words
from demo.screen import BOLD, DIM, RED, Screen
from demo.server import Serving, log_path, serving

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Demonstration:
    """From the start to the end that the person, or a failure, makes."""

    def __init__(self, settings: Settings, answers: Answers, screen: Screen, *, once: bool) -> None:
        self._settings = settings
        self._answers = answers
        self._screen = screen
        self._once = once
        self._shown = False
        """Whether the flow is over, so that a signal is the usual end."""
        self._signal: signal.Signals | None = None

    async def run(self) -> int:
        """The exit code."""
        task = asyncio.current_task()
        assert task
        for number in SIGNALS:
            asyncio.get_running_loop().add_signal_handler(number, self._stop, number, task)
        try:
            await self._demonstrate()
        except asyncio.CancelledError:
            if self._signal is None:
                raise
            self._screen.line("Ended." if self._shown else "Interrupted.")
            return 0 if self._shown else 128 + self._signal
        return 0

    def _stop(self, number: signal.Signals, task: asyncio.Task[int]) -> None:
        if self._signal is None:
            self._signal = number
            task.cancel()

    async def _demonstrate(self) -> None:
        self._screen.line(self._answers.sentence, BOLD)
        async with serving(self._settings, self._answers) as server:
            self._screen.line(f"Server ready after {server.ready_after:.1f} s: {server.url}")
            async with open_api(server.url, server.api_key) as api:
                path = await Flow(api, self._settings.models, self._screen).run()
            self._shown = True
            if self._once:
                return
            self._show_addresses(server, path)
            await server.process.wait()
            raise DemoFailed("The server ended by itself.")

    def _show_addresses(self, server: Serving, path: str) -> None:
        screen = self._screen
        screen.line()
        screen.line("The server goes on until Ctrl-C.", BOLD)
        screen.entry("docs", f"{server.url}/docs")
        screen.entry("health", f"{server.url}/health")
        screen.entry("metrics", f"{server.url}/metrics")
        screen.entry("log", str(log_path(self._settings)))
        screen.entry("key", f"{server.api_key}  (header X-API-Key, for this demo only)")
        screen.entry("try", f"curl -H 'X-API-Key: {server.api_key}' {server.url}{path}/messages")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="./dev demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="end after the task instead of serving until Ctrl-C")
    parser.add_argument(
        "--stand-in", action="store_true", help="take the stand-in's answers even where AWS credentials are found"
    )
    return parser.parse_args()


def _main() -> int:
    arguments = _arguments()
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
    screen = Screen(sys.stdout)
    try:
        settings = Settings()
    except ValidationError as error:
        screen.line(f"The demo failed: the settings are wrong. {error}", RED)
        return 1
    try:
        answers = find_answers(settings.models, stand_in=arguments.stand_in)
        return asyncio.run(Demonstration(settings, answers, screen, once=arguments.once).run())
    except DemoFailed as failure:
        screen.line(f"The demo failed: {failure}", RED)
        if failure.log:
            _show_end(screen, failure.log)
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads on; the last flush must not fail
        return 1


def _show_end(screen: Screen, path: Path) -> None:
    words = last_words(path)
    if words:
        screen.line(f"The last lines of {path}:")
    for line in words:
        screen.line(f"  {line}", DIM)


if __name__ == "__main__":
    sys.exit(_main())
