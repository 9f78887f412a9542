"""How a run ended, and in which words clients hear of it."""

import json
from dataclasses import dataclass
from typing import Literal

from app.infrastructure.sandboxes.contract import Exit
from app.schemas.events import Error, ErrorType
from runner.protocol import Failed, TurnEnded

RunEnd = Literal["succeeded", "failed", "cancelled", "interrupted"]

RECOVERABLE: frozenset[ErrorType] = frozenset(
    {"conversation_locked", "timeout_error", "model_unavailable", "sandbox_crashed", "interrupted"}
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a run, before it is written."""

    status: RunEnd
    error: Error | None = None
    result: str | None = None
    errors: tuple[str, ...] = ()
    turns: int = 0
    context_tokens: int | None = None
    title: str | None = None


def failure(error_type: ErrorType, message: str, *, status: RunEnd = "failed", turns: int = 0) -> Outcome:
    """A run that ends with an `error` event."""
    error = Error(error_type=error_type, message=message, recoverable=error_type in RECOVERABLE)
    return Outcome(status, error, errors=(message,), turns=turns)


CANCELLED = Outcome("cancelled")
TIMED_OUT = failure("timeout_error", "The run took longer than it may.")
INTERRUPTED = failure("interrupted", "The server stopped while the run was under way.", status="interrupted")
ABANDONED = failure("interrupted", "The server that worked on this run was lost.", status="interrupted")
CONTEXT_FULL = failure("context_limit_exceeded", "The conversation is full; begin a new one.")
NOT_DELIVERED = failure("execution_error", "The uploaded files could not be written into the workspace.")
MEMORY_LOST = failure("execution_error", "The agent's memory could not be stored.")
BROKEN = failure("execution_error", "The run could not be finished.")
NO_SANDBOX = failure("sandbox_crashed", "The sandbox could not be started.")


def of_turn(ended: TurnEnded) -> Outcome:
    """What the agent itself said of its turn."""
    if ended.outcome == "success":
        result = ended.result
        if ended.structured_output is not None:
            result = json.dumps(ended.structured_output, ensure_ascii=False)
        return Outcome("succeeded", result=result, turns=ended.turns, context_tokens=ended.context_tokens)
    error_type, message = _told(ended.reason or "")
    failed = failure(error_type, message, turns=ended.turns)
    return Outcome(
        "failed",
        failed.error,
        result=ended.result,
        errors=ended.errors or failed.errors,
        turns=ended.turns,
        context_tokens=ended.context_tokens,
    )


def _told(reason: str) -> tuple[ErrorType, str]:
    if reason == "error_max_turns":
        return "execution_error", "The agent used all the turns it may take."
    if reason == "error_max_budget_usd":
        return "budget_exceeded", "The run's budget is used up."
    status = reason.removeprefix("api_error_")
    if status in {"400", "404", "413", "422"}:
        return "model_validation_error", "The model service refused the request."
    if reason.startswith("api_error"):
        return "model_unavailable", "The model service did not answer."
    return "execution_error", "The agent could not finish."


def of_failure(failed: Failed) -> Outcome:
    """The Claude process is gone."""
    if failed.kind == "options":
        return failure("options_error", "The agent does not accept these options.")
    if failed.kind == "store":
        return MEMORY_LOST
    return failure("sandbox_crashed", "The agent's process ended unexpectedly.")


def of_exit(exit_: Exit | None) -> Outcome:
    """The sandbox is gone."""
    if exit_ is not None and exit_.reason == "oom":
        return failure("sandbox_oom", "The agent used more memory than it may.")
    return failure("sandbox_crashed", "The sandbox ended unexpectedly.")
