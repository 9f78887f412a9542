"""Step one of a run: everything that can refuse it, and the rows with which it begins, in one transaction."""

from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from app.config import Settings
from app.database import Session, TenantId, new_id
from app.errors import ConversationBusy, Forbidden, NotFound, ResourceInactive, RuleBroken
from app.models.model import Model
from app.repositories.admissions import Admissions, Beginning, Situation
from app.repositories.runs import Claim
from app.schemas.runs import RunRequest
from app.services.agent_plan import ModelChoice, Plan, Wishes, choose
from app.services.callers import Caller
from app.services.idempotency import KeyedRequest, reserve
from app.services.workspace.uploads import UploadedFile
from runner.protocol import VERSION


@dataclass(frozen=True, slots=True)
class Application:
    """A request to run."""

    caller: Caller
    tenant_id: TenantId
    conversation_id: UUID
    request: RunRequest
    keyed: KeyedRequest | None = None
    files: tuple[UploadedFile, ...] = ()
    held: ExitStack = field(default_factory=ExitStack)
    """Closes the files; taken from here by the run that begins."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """A run that has begun and is ours to do."""

    claim: Claim
    plan: Plan
    wishes: Wishes
    prompt: str
    files: tuple[UploadedFile, ...]
    first_turn: bool
    """Whether the conversation has no title yet."""
    context_full: bool
    at_once: bool
    """Whether its agent waited for it; else it is queued until there is one."""
    begun_at: datetime


@dataclass(frozen=True, slots=True)
class Repeated:
    """The same request came before and began that run."""

    run_id: UUID


async def admit(
    session: Session, asked: Application, settings: Settings, owner: str, *, at_once: bool
) -> Admitted | Repeated:
    """Begin a run, or say which run the same request began earlier; raises what refuses it."""
    admissions = Admissions(session, asked.tenant_id)
    situation = await admissions.lock(asked.conversation_id, asked.request.model_id)
    if situation is None or not _visible(asked.caller, situation):
        raise NotFound
    run_id = new_id()
    earlier = await reserve(session, asked.tenant_id, asked.keyed, run_id)
    if earlier is not None:
        return Repeated(earlier)
    plan = _checked_plan(asked, situation)
    fence, begun_at = await admissions.begin(session, _beginning(asked, plan, run_id, settings, owner, at_once=at_once))
    return Admitted(
        claim=Claim(asked.tenant_id, run_id, fence),
        plan=plan,
        wishes=wishes(asked.request, settings),
        prompt=asked.request.user_input,
        files=asked.files,
        first_turn=situation.conversation.title is None,
        context_full=situation.conversation.context_limit_reached,
        at_once=at_once,
        begun_at=begun_at,
    )


def _visible(caller: Caller, situation: Situation) -> bool:
    return caller.user_id is None or caller.user_id == situation.conversation.user_id


def _checked_plan(asked: Application, situation: Situation) -> Plan:
    if asked.caller.user_id not in {None, asked.request.executor.user_id}:
        raise Forbidden("The executor is not the calling user.")
    if situation.tenant.status != "active":
        raise ResourceInactive("The tenant is not active.")
    if situation.conversation.status != "active":
        raise ResourceInactive("The conversation is archived.")
    if asked.files and not situation.conversation.workspace_enabled:
        raise RuleBroken("The conversation has no workspace, so it takes no files.")
    if asked.request.max_budget_usd is not None:
        raise RuleBroken("Budgets of single runs are not enforced by this version.")
    if situation.live_run is not None:
        raise ConversationBusy(run_id=str(situation.live_run))
    if asked.request.model_id is not None:
        return plan_for(situation, _asked_model(situation.asked_model), asked.request.executor.user_id)
    return plan_for(situation, usable_model(situation), asked.request.executor.user_id)


def _asked_model(model: Model | None) -> ModelChoice:
    if model is None or model.status != "active":
        raise RuleBroken("There is no active model of that id.")
    return choose(model)


def usable_model(situation: Situation) -> ModelChoice:
    """The conversation's own model, or the tenant's default where that one is deprecated."""
    own, default = situation.own_model, situation.default_model
    if own.status == "active":
        return choose(own)
    if default is None or default.status != "active":
        raise ResourceInactive("The conversation's model is deprecated and the tenant has no active default model.")
    return choose(default, replaced=own.model_id)


def plan_for(situation: Situation, model: ModelChoice, user_id: str) -> Plan:
    """The conversation as its agent needs it."""
    conversation = situation.conversation
    return Plan(
        tenant_id=TenantId(conversation.tenant_id),
        conversation_id=conversation.conversation_id,
        user_id=user_id,
        session_id=conversation.session_id or conversation.conversation_id,
        resume=situation.has_transcript,
        system_prompt=situation.tenant.system_prompt,
        model=model,
        workspace_enabled=conversation.workspace_enabled,
        fence=conversation.fence,
    )


def wishes(request: RunRequest | None, settings: Settings) -> Wishes:
    """What a request asks for, within the settings' limits."""
    most = settings.runs.run_max_turns
    if request is None:
        return Wishes(max_turns=most)
    return Wishes(
        max_turns=min(request.max_turns or most, most),
        permission_mode=request.permission_mode,
        effort=request.effort,
        output_format=request.output_format,
    )


def _beginning(
    asked: Application, plan: Plan, run_id: UUID, settings: Settings, owner: str, *, at_once: bool
) -> Beginning:
    content: dict[str, Any] = {"type": "user", "text": asked.request.user_input}
    if asked.files:
        content["files"] = [file.described() for file in asked.files]
    return Beginning(
        run_id=run_id,
        conversation_id=plan.conversation_id,
        message_id=new_id(),
        session_id=plan.session_id,
        user_id=plan.user_id,
        model_id=plan.model.model_id,
        owner=owner,
        lease_seconds=settings.runs.lease_seconds,
        at_once=at_once,
        content=content,
        versions={
            "system_prompt": plan.system_prompt,
            "skills": [],
            "mcp_servers": [],
            "agents": [],
            "runner": {"protocol": VERSION},
        },
    )
