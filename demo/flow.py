"""The basic flow of a front end: models, a tenant, a conversation, and two turns of an agent in its sandbox."""

import time
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from app.config import ModelService
from demo.client import Api, Event, Refused
from demo.errors import DemoFailed
from demo.screen import DIM, Screen
from standin.scenarios import demo_prompts

TENANT = "demo"
TENANT_PATH = f"/api/tenants/{TENANT}"
SYSTEM_PROMPT = "You are the assistant of the demo tenant. Be brief."
USER = {"user_id": "ada", "name": "Ada", "email": "ada@example.com"}
ANSWER = "71"
"""The twentieth prime: what both turns are to say."""

SONNET, HAIKU = "sonnet", "haiku"
PRICES = {
    SONNET: ("0.003", "0.015", "0.00375", "0.006", "0.0003"),
    HAIKU: ("0.001", "0.005", "0.00125", "0.002", "0.0001"),
}
"""USD per 1,000 tokens, as listed: input, output, cache written for 5 minutes and for 1 hour, cache read."""
PRICE_FIELDS = (
    "input_token_price",
    "output_token_price",
    "cache_creation_5m_price",
    "cache_creation_1h_price",
    "cache_read_price",
)
PHASES = {"init": "sandbox ready", "text_delta": "first text", "done": "done"}
HEAD = ("usage", "input", "output", "cache written", "cache read", "USD")


@dataclass(slots=True)
class Turn:
    """What one turn's stream told."""

    begun: float = field(default_factory=time.monotonic)
    after: dict[str, float] = field(default_factory=dict)
    """Seconds until the first event of each kind."""
    done: dict[str, Any] | None = None

    def take(self, event: Event) -> None:
        self.after.setdefault(event.type, time.monotonic() - self.begun)
        if event.type == "done":
            self.done = event.data

    def timing(self) -> str:
        return " · ".join(f"{name} {self.after[kind]:.2f} s" for kind, name in PHASES.items() if kind in self.after)


class Flow:
    """Does it, and shows it."""

    def __init__(self, api: Api, settings: ModelService, screen: Screen) -> None:
        self._api = api
        self._bedrock_ids = {SONNET: settings.anthropic_sonnet_model, HAIKU: settings.anthropic_haiku_model}
        self._screen = screen

    async def run(self) -> str:
        """The whole of it; returns the conversation's path. Raises `DemoFailed`."""
        for model_id in PRICES:
            await self._model(model_id)
        await self._tenant()
        created = await self._send("POST", f"{TENANT_PATH}/conversations", {"user_id": USER["user_id"]})
        path = f"{TENANT_PATH}/conversations/{created['conversation_id']}"
        runs = [await self._turn(path, prompt) for prompt in demo_prompts()]
        self._show_usage(runs)
        return path

    async def _model(self, model_id: str) -> None:
        """Registered, or brought in line with the settings when a former demonstration registered it."""
        named = {"display_name": f"Claude {model_id.title()}", "bedrock_model_id": self._bedrock_ids[model_id]}
        prices = dict(zip(PRICE_FIELDS, PRICES[model_id], strict=True))
        try:
            await self._send("POST", "/api/models", {"model_id": model_id, **named, **prices})
        except Refused as refusal:
            if refusal.status != 409:
                raise
            self._show("POST", "/api/models", "409, the model is there already")
            await self._send("PUT", f"/api/models/{model_id}", named)

    async def _tenant(self) -> None:
        body = {"tenant_id": TENANT, "model_id": SONNET, "system_prompt": SYSTEM_PROMPT}
        try:
            await self._send("POST", "/api/tenants", body)
        except Refused as refusal:
            if refusal.status != 409:
                raise
            self._show("POST", "/api/tenants", "409, the tenant is there already")

    async def _send(self, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = await self._api.send(method, path, body)
        self._show(method, path, str(answer.status))
        return answer.body

    def _show(self, method: str, path: str, outcome: str) -> None:
        self._screen.entry("http", f"{method} {path} → {outcome}", DIM)

    async def _turn(self, path: str, prompt: str) -> dict[str, Any]:
        """One message and its answer; returns the run as the server keeps it."""
        self._screen.user(prompt)
        turn = Turn()
        async for event in self._api.stream(f"{path}/stream", {"user_input": prompt, "executor": USER}):
            turn.take(event)
            self._screen.show(event)
        self._screen.entry("time", turn.timing(), DIM)
        return await self._checked(path, turn.done)

    async def _checked(self, path: str, done: dict[str, Any] | None) -> dict[str, Any]:
        if done is None:
            raise DemoFailed("The stream ended before the run did.")
        if done["status"] != "success":
            raise DemoFailed(f"The run did not succeed: {' '.join(done['errors'] or [done['status']])}")
        if ANSWER not in (done["result"] or ""):
            raise DemoFailed(f"The answer does not name the number {ANSWER}.")
        run = await self._api.get(f"{path}/runs/{done['run_id']}")
        if (run["usage"], run["cost_usd"]) != (done["usage"], done["cost_usd"]):
            raise DemoFailed("The stream and the stored run do not tell the same usage.")
        return run

    def _show_usage(self, runs: list[dict[str, Any]]) -> None:
        names = ("first turn", "second turn")
        rows = [(name, *_figures(run)) for name, run in zip(names, runs, strict=True)]
        total = [sum(column) for column in zip(*(row[1:] for row in rows), strict=True)]
        self._screen.line()
        self._screen.table([HEAD, *(_texts(row) for row in (*rows, ("together", *total)))])


def _figures(run: dict[str, Any]) -> tuple[Decimal, ...]:
    usage = run["usage"]
    written = usage["cache_creation_5m_tokens"] + usage["cache_creation_1h_tokens"]
    counts = (usage["input_tokens"], usage["output_tokens"], written, usage["cache_read_tokens"])
    return (*map(Decimal, counts), Decimal(run["cost_usd"]))


def _texts(row: tuple[Any, ...]) -> tuple[str, ...]:
    name, *counts, cost = row
    return (name, *(f"{count:,}" for count in counts), f"{cost:.6f}")
