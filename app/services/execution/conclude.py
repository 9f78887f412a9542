"""The last step of a run: message, totals, final events and terminal state, in one transaction."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from app.database import Session
from app.errors import StaleOwner
from app.models.run import LIVE, Run
from app.repositories.conclusions import NOTHING, Conclusions, Ending, Spent
from app.repositories.events import Events
from app.repositories.runs import Claim, Runs
from app.schemas.events import (
    AnyEvent,
    ContextStatus,
    Done,
    Error,
    ModelUsage,
    Recorded,
    Title,
    Usage,
    encode,
    six_digits,
)
from app.services.execution.outcome import Outcome

SAID = ("assistant", "thinking", "tool_call", "tool_result")


async def conclude(
    session: Session, claim: Claim, outcome: Outcome, context_window: int | None, *, bare: bool = False
) -> tuple[Recorded, ...]:
    """End a run for good; returns its last events. Raises `StaleOwner` when it is not ours to end.

    `bare`: without the assistant's message, for a run whose log cannot be told again.
    """
    run = await Runs(session, claim.tenant_id).find_for_update(claim.run_id)
    if run is None or run.fence != claim.fence or run.status not in LIVE:
        raise StaleOwner
    conclusions = Conclusions(session, claim.tenant_id)
    by_model = await conclusions.spent_by_model(claim.run_id)
    spent = sum(by_model.values(), NOTHING)
    if outcome.title is not None and await conclusions.has_title(run):
        outcome = replace(outcome, title=None)
    context = _context(outcome.context_tokens, context_window)
    if not bare:
        await _write_message(session, conclusions, run, outcome)
    await conclusions.update_conversation(run, spent, _changes(outcome, context))
    error = outcome.error
    ending = Ending(
        outcome.status, error.error_type if error else None, error.message if error else None, spent, outcome.turns
    )
    await conclusions.end_run(run, ending)
    done = _done(run, outcome, by_model, spent)
    last = await _record(session, run, [*_optional(error, outcome.title, context), done])
    return tuple(last)


async def _record(session: Session, run: Run, last: Sequence[AnyEvent]) -> list[Recorded]:
    log = Events(session, _tenant(run))
    begin = await log.last_seq(run.run_id) + 1
    now = datetime.now(UTC)
    rows = [Recorded(seq, event.event, encode(event, seq, now)) for seq, event in enumerate(last, begin)]
    await log.add(session, run.run_id, rows)
    return rows


def _tenant(run: Run) -> Any:  # noqa: ANN401 -- the row holds what a TenantId names
    return run.tenant_id


def _optional(error: Error | None, title: str | None, context: ContextStatus | None) -> list[AnyEvent]:
    found = (Title(title=title) if title else None, context, error)
    return [event for event in found if event is not None]


def _context(tokens: int | None, window: int | None) -> ContextStatus | None:
    if tokens is None or not window:
        return None
    percent = round(100 * tokens / window, 2)
    level: Any = next(
        name for name, least in (("blocked", 95), ("critical", 85), ("warning", 70), ("normal", 0)) if percent >= least
    )
    return ContextStatus(
        current_context_tokens=tokens,
        max_context_tokens=window,
        usage_percent=percent,
        warning_level=level,
        can_continue=level != "blocked",
        message=None if level == "normal" else f"The conversation fills {percent:.0f} % of the model's context.",
        recommended_action="new_chat" if level in {"critical", "blocked"} else None,
    )


def _changes(outcome: Outcome, context: ContextStatus | None) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if context is not None:
        changes["estimated_context_tokens"] = context.current_context_tokens
        changes["context_limit_reached"] = not context.can_continue
    if outcome.title is not None:
        changes["title"] = outcome.title
    return changes


async def _write_message(session: Session, conclusions: Conclusions, run: Run, outcome: Outcome) -> None:
    log = Events(session, _tenant(run))
    said = await log.list_of_types(run.run_id, SAID)
    texts = [_text(event) for event in said if event.type == "assistant"]
    if outcome.status != "succeeded":
        texts.append(await _unfinished(log, run, said))
    text = "\n\n".join(part for part in texts if part)
    if said or text:
        events = [{"event": event.type, "data": json.loads(event.data)} for event in said]
        await conclusions.add_message(run, {"type": "assistant", "text": text, "events": events})


def _text(event: Recorded) -> str:
    data = json.loads(event.data)
    return "" if "parent_agent_id" in data else "".join(block["text"] for block in data["content_blocks"])


async def _unfinished(log: Events, run: Run, said: Sequence[Recorded]) -> str:
    last = max((event.seq for event in said if event.type == "assistant" and _text(event)), default=0)
    deltas = [json.loads(event.data) for event in await log.list_of_types(run.run_id, ("text_delta",), last)]
    return "".join(delta["content"] for delta in deltas if "parent_agent_id" not in delta)


def _usage(spent: Spent) -> Usage:
    return Usage.model_validate(spent.counts())


def _done(run: Run, outcome: Outcome, by_model: dict[str, Spent], spent: Spent) -> Done:
    ended = {"succeeded": "success", "cancelled": "cancelled"}.get(outcome.status, "error")
    return Done.model_validate(
        {
            "status": ended,
            "result": outcome.result,
            "is_error": ended == "error",
            "errors": outcome.errors or None,
            "usage": _usage(spent),
            "cost_usd": six_digits(spent.cost),
            "turn_count": outcome.turns,
            "duration_ms": _milliseconds_since(run.created_at),
            "session_id": str(run.conversation_id),
            "run_id": str(run.run_id),
            "model_usage": {
                model: ModelUsage(**share.counts(), cost_usd=six_digits(share.cost))
                for model, share in by_model.items()
            },
        }
    )


def _milliseconds_since(begin: datetime) -> int:
    return max(0, round((datetime.now(UTC) - begin).total_seconds() * 1000))
