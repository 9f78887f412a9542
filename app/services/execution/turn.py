"""The middle of a run: a prompt to the agent, and what comes back into the log."""

from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from app.infrastructure.metrics import WORKSPACE_CONTAINER_CRASHES
from app.schemas.events import AnyEvent
from app.services.container.agent import Gone, MemoryLost
from app.services.container.place import Place
from app.services.execution import outcome as outcomes
from app.services.execution.admit import Admitted
from app.services.execution.outcome import Outcome
from app.services.execution.run_log import RunLog
from app.services.execution.translate import TurnState, translate, unanswered
from app.services.workspace.uploads import with_files
from runner.protocol import AnyFrame, Failed, TextDelta, TurnEnded

log = structlog.get_logger()

AUTOPSY_SECONDS = 2.0


class Turn:
    """One turn of one agent, relayed into one log."""

    def __init__(self, admitted: Admitted, run_log: RunLog, place: Place, on_text: Callable[[], None]) -> None:
        self._admitted = admitted
        self._log = run_log
        self._place = place
        self._on_text = on_text
        plan = admitted.plan
        self._state = TurnState(
            conversation_id=str(plan.conversation_id),
            run_id=str(admitted.claim.run_id),
            model_id=plan.model.model_id,
            bedrock_model_id=plan.model.bedrock_model_id,
            replaced_model_id=plan.model.replaced_model_id,
        )

    async def relay(self) -> Outcome:
        """Prompt, and relay until the agent ends its turn or is lost."""
        agent = self._place.agent
        self._log.on_recorded = agent.acknowledge
        words = with_files(self._admitted.prompt, self._admitted.files)
        await agent.prompt(words, self._admitted.plan.model.bedrock_model_id)
        while True:
            frame = await agent.next()
            if isinstance(frame, Gone):
                return await self._lost()
            if isinstance(frame, Failed):
                self._say(unanswered(self._state))
                return outcomes.of_failure(frame)
            if isinstance(frame, TurnEnded):
                return await self._ended(frame)
            await self._take(frame)

    async def _take(self, frame: AnyFrame) -> None:
        self._log.append(translate(frame, self._state), datetime.now(UTC), frame.seq)
        if isinstance(frame, TextDelta):
            self._on_text()
        await self._log.has_room()

    async def _ended(self, frame: TurnEnded) -> Outcome:
        await self._log.settled()
        try:
            await self._place.agent.stored()
        except MemoryLost:
            return outcomes.MEMORY_LOST
        self._place.clean = True
        self._place.agent.acknowledge(frame.seq)
        return outcomes.of_turn(frame)

    async def _lost(self) -> Outcome:
        self._say(unanswered(self._state))
        exit_ = await self._place.autopsy(AUTOPSY_SECONDS)
        WORKSPACE_CONTAINER_CRASHES.inc()
        if exit_ is not None:
            log.warning("sandbox.died", reason=exit_.reason, code=exit_.code, log_tail=exit_.log_tail)
        return outcomes.of_exit(exit_)

    def _say(self, events: tuple[AnyEvent, ...]) -> None:
        self._log.append(events, datetime.now(UTC))
