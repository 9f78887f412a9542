"""What the doors need of the running program, put together once by the composition root."""

from dataclasses import dataclass

from app.config import Settings
from app.database import Database
from app.services.container.orchestrator import Orchestrator
from app.services.execute_service import ExecuteService
from app.services.health_service import HealthService


@dataclass(frozen=True, slots=True)
class Runtime:
    """The living parts that routes hand to services."""

    settings: Settings
    database: Database
    execution: ExecuteService
    sandboxes: Orchestrator
    health: HealthService
