"""Logs as JSON lines, or readable on a terminal, without secrets."""

import logging
import re
import sys
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import TextIO, cast
from urllib.parse import unquote, urlsplit

import orjson
import structlog
from pydantic import BaseModel, SecretStr
from structlog.typing import EventDict, Processor, WrappedLogger

REDACTED = "[redacted]"
SHORTEST_SECRET = 6
"""Shorter values are not looked for: they would blacken ordinary words."""

_SECRET_NAME = re.compile(
    r"(?i)(password|passwd|secret|authorization|api[-_]?key|access[-_]?key|private[-_]?key|credential|cookie)|(^|[-_])tokens?$"
)
_OTHERS = ("uvicorn", "uvicorn.error", "uvicorn.access", "asyncio", "sqlalchemy", "alembic")


def configure_logging(level: str, secrets: Iterable[str] = (), stream: TextIO | None = None) -> None:
    """Give every logger of the process, ours and others', one form. May be called again."""
    stream = stream or sys.stderr
    shared, rendering = _shared_processors(), _rendering(_Redaction(secrets), pretty=stream.isatty())
    structlog.configure(
        processors=[*shared, *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=structlog.WriteLoggerFactory(stream),
    )
    _configure_others(level, shared, rendering, stream)


def secret_values(settings: BaseModel) -> frozenset[str]:
    """Every secret the settings hold, the passwords inside URLs too."""
    return frozenset(form for secret in _secrets(settings) for form in _forms(secret.get_secret_value()))


class _Redaction:
    """Blackens known values in the finished line, whatever carried them there."""

    def __init__(self, secrets: Iterable[str]) -> None:
        known = {text for secret in secrets if len(secret) >= SHORTEST_SECRET for text in (secret, _escaped(secret))}
        self._known = re.compile("|".join(map(re.escape, sorted(known, key=len, reverse=True)))) if known else None

    def __call__(self, _logger: WrappedLogger, _name: str, line: str) -> str:
        return self._known.sub(REDACTED, line) if self._known else line


def _shared_processors() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _without_secrets,
    ]


def _rendering(redaction: _Redaction, *, pretty: bool) -> list[Processor]:
    if pretty:
        console = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        return [console, cast("Processor", redaction)]
    return [
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(serializer=_json),
        cast("Processor", redaction),
    ]


def _configure_others(level: str, shared: list[Processor], rendering: list[Processor], stream: TextIO) -> None:
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _OTHERS:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    logging.getLogger("uvicorn.access").disabled = True  # our own line says it, without the query


def _json(event: EventDict, **_: object) -> str:
    return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def _without_secrets(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    return {name: _blackened(name, value) for name, value in event.items()}


def _blackened(name: object, value: object) -> object:
    if isinstance(value, str | bytes):
        return REDACTED if _names_a_secret(name) else value
    if isinstance(value, dict):
        hidden = _names_a_secret(name)
        return REDACTED if hidden else {key: _blackened(key, inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_blackened(name, inner) for inner in value]
    return value


@lru_cache(maxsize=4096)
def _names_a_secret(name: object) -> bool:
    return _SECRET_NAME.search(str(name)) is not None


def _secrets(settings: BaseModel) -> Iterator[SecretStr]:
    for _, value in settings:
        if isinstance(value, BaseModel):
            yield from _secrets(value)
        for candidate in value if isinstance(value, tuple) else (value,):
            if isinstance(candidate, SecretStr):
                yield candidate


def _forms(secret: str) -> Iterator[str]:
    yield secret
    password = urlsplit(secret).password if "://" in secret else None
    if password:
        yield from (password, unquote(password))


def _escaped(secret: str) -> str:
    return orjson.dumps(secret).decode()[1:-1]
