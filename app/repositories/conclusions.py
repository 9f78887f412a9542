"""The statements with which a run ends."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, update

from app.database import Session, TenantId, new_id
from app.models.conversation import Conversation
from app.models.message import Message
from app.models.run import Run
from app.repositories.usage_logs import UsageLogs

KINDS = (
    "input_tokens",
    "output_tokens",
    "cache_creation_5m_tokens",
    "cache_creation_1h_tokens",
    "cache_read_tokens",
)


@dataclass(frozen=True, slots=True)
class Spent:
    """Tokens by kind, and what they cost."""

    tokens: tuple[int, ...]
    """In the order of `KINDS`."""
    cost: Decimal

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(tuple(a + b for a, b in zip(self.tokens, other.tokens, strict=True)), self.cost + other.cost)

    def counts(self) -> dict[str, int]:
        """By name, with their sum."""
        return {**dict(zip(KINDS, self.tokens, strict=True)), "total_tokens": sum(self.tokens)}


NOTHING = Spent((0,) * len(KINDS), Decimal(0))


@dataclass(frozen=True, slots=True)
class Ending:
    """What is known of a run at its end."""

    status: str
    error_type: str | None
    message: str | None
    spent: Spent
    turns: int


class Conclusions:
    """One tenant's ends of runs."""

    def __init__(self, session: Session, tenant_id: TenantId) -> None:
        self._session = session
        self._tenant_id = tenant_id

    async def spent_by_model(self, run_id: UUID) -> dict[str, Spent]:
        """The ledger's account of a run, by our model ids."""
        lines = await UsageLogs(self._session, self._tenant_id).list_by_model(run_id)
        return {line.model_id: Spent(tuple(getattr(line, kind) for kind in KINDS), line.cost_usd) for line in lines}

    async def end_run(self, run: Run, ending: Ending) -> None:
        """Write a run's end; its lease ends with it."""
        values = dict(zip(KINDS, ending.spent.tokens, strict=True))
        await self._session.execute(
            update(Run)
            .where(Run.tenant_id == self._tenant_id, Run.run_id == run.run_id)
            .values(
                **values,
                cost_usd=ending.spent.cost,
                status=ending.status,
                error_type=ending.error_type,
                message=ending.message,
                turn_count=ending.turns,
                finished_at=func.clock_timestamp(),
                started_at=func.coalesce(Run.started_at, func.clock_timestamp()),
            )
        )

    async def has_title(self, run: Run) -> bool:
        """Whether the run's conversation has a title by now."""
        title = select(Conversation.title).where(
            Conversation.tenant_id == self._tenant_id, Conversation.conversation_id == run.conversation_id
        )
        return await self._session.scalar(title) is not None

    async def update_conversation(self, run: Run, spent: Spent, changes: dict[str, Any]) -> None:
        """Add a run's tokens to its conversation's, and what else became known."""
        await self._session.execute(
            update(Conversation)
            .where(Conversation.tenant_id == self._tenant_id, Conversation.conversation_id == run.conversation_id)
            .values(
                total_input_tokens=Conversation.total_input_tokens + sum(spent.tokens) - spent.tokens[1],
                total_output_tokens=Conversation.total_output_tokens + spent.tokens[1],
                updated_at=func.clock_timestamp(),
                **changes,
            )
        )

    async def add_message(self, run: Run, content: dict[str, Any]) -> None:
        """Write what the assistant said."""
        of_conversation = (Message.tenant_id == self._tenant_id, Message.conversation_id == run.conversation_id)
        newest = await self._session.scalar(select(func.max(Message.message_seq)).where(*of_conversation))
        self._session.add(
            Message(
                tenant_id=self._tenant_id,
                message_id=new_id(),
                conversation_id=run.conversation_id,
                run_id=run.run_id,
                message_seq=(newest or 0) + 1,
                message_type="assistant",
                content=content,
            )
        )
        await self._session.flush()
