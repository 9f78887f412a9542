"""Fixtures: logs go where pytest shows them with a failure."""

import logging

import pytest
import structlog


@pytest.fixture(scope="session", autouse=True)
def _logs() -> None:
    """Plainly rendered: the default would draw every stack with all its variables, which takes seconds."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
