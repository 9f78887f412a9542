"""What a conversation's agent would be started with, before anybody spoke."""

from uuid import UUID

from app.config import Settings
from app.database import Database, TenantId
from app.errors import ResourceInactive
from app.repositories.admissions import Admissions
from app.services.agent_plan import Plan, agent_options
from app.services.execution.admit import plan_for, usable_model, wishes
from runner.protocol import AgentOptions


class Describer:
    """Looks a conversation up."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._settings = settings

    async def __call__(self, tenant_id: TenantId, conversation_id: UUID) -> tuple[Plan, AgentOptions] | None:
        """Its plan and options, or none when no run could begin in it."""
        async with self._database.tenant_read(tenant_id) as session:
            situation = await Admissions(session, tenant_id).find(conversation_id)
        if situation is None or "active" not in {situation.tenant.status} & {situation.conversation.status}:
            return None
        try:
            plan = plan_for(situation, usable_model(situation), situation.conversation.user_id)
        except ResourceInactive:
            return None
        small = self._settings.models.anthropic_haiku_model
        return plan, agent_options(plan, wishes(None, self._settings), small)
