"""What a run is to be done with: read from the tenant's, the conversation's and the model's rows."""

from dataclasses import dataclass
from uuid import UUID

from app.database import TenantId
from app.models.model import Model
from runner.protocol import AgentOptions

TOOLS = (
    "Bash",
    "BashOutput",
    "KillShell",
    "Read",
    "Write",
    "Edit",
    "Glob",
    "Grep",
    "NotebookEdit",
    "TodoWrite",
    "Agent",
)


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """The model of a run."""

    model_id: str
    bedrock_model_id: str
    context_window: int
    replaced_model_id: str | None = None
    """The conversation's own model, when it is deprecated and this one stands in for it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One conversation as its agent needs it."""

    tenant_id: TenantId
    conversation_id: UUID
    user_id: str
    session_id: UUID
    resume: bool
    system_prompt: str | None
    model: ModelChoice
    workspace_enabled: bool
    fence: int
    """The conversation's newest fencing number before the run."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What one request asks for beyond its conversation's plan."""

    max_turns: int
    permission_mode: str | None = None
    effort: str | None = None
    output_format: dict[str, object] | None = None


def choose(model: Model, replaced: str | None = None) -> ModelChoice:
    """A model's row as a run needs it."""
    window = model.context_window
    if model.supports_extended_context and model.extended_context_window:
        window = model.extended_context_window
    return ModelChoice(model.model_id, model.bedrock_model_id, window, replaced)


def agent_options(plan: Plan, wishes: Wishes, small_model: str) -> AgentOptions:
    """The options a Claude process is started with."""
    return AgentOptions.model_validate(
        {
            "session_id": str(plan.session_id),
            "resume": plan.resume,
            "system_prompt": plan.system_prompt,
            "model": plan.model.bedrock_model_id,
            "small_model": small_model,
            "tools": TOOLS,
            "permission_mode": wishes.permission_mode or "bypassPermissions",
            "max_turns": wishes.max_turns,
            "effort": wishes.effort,
            "output_format": wishes.output_format,
        }
    )


def fits(opened: AgentOptions, wanted: AgentOptions) -> bool:
    """Whether a running Claude process serves those options too; its model can be changed, `resume` is past."""
    same = {"model": wanted.model, "resume": wanted.resume}
    return opened.model_copy(update=same) == wanted
