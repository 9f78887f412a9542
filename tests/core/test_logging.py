"""Log lines."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from pydantic import SecretStr

from app.config import Database, ModelService, Redis, Server, Settings
from app.core.logging import configure_logging, secret_values

SECRET = 'c4n4ry-"quoted"-ß-secret'


class Terminal(io.StringIO):
    """A stream that says it is one."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root, before = logging.getLogger(), structlog.get_config()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:], root.level = handlers, level
    logging.getLogger("uvicorn.access").disabled = False
    structlog.configure(**before)


def configured(*secrets: str, level: str = "INFO", stream: io.StringIO | None = None) -> io.StringIO:
    stream = stream or io.StringIO()
    configure_logging(level, secrets, stream)
    return stream


def lines_of(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_json_object_with_its_identity_and_utc_time() -> None:
    stream = configured()
    with structlog.contextvars.bound_contextvars(request_id="r1", tenant_id="acme", run_id="u1"):
        structlog.get_logger().info("sandbox.assigned", warm=True, text="two\nlines")
    (line,) = lines_of(stream)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "sandbox.assigned",
        "level": "info",
        "warm": True,
        "text": "two\nlines",
        "request_id": "r1",
        "tenant_id": "acme",
        "run_id": "u1",
    }


def test_other_libraries_lines_look_the_same_and_the_servers_own_access_line_is_left_out() -> None:
    stream = configured()
    with structlog.contextvars.bound_contextvars(request_id="r1"):
        logging.getLogger("uvicorn.error").warning("Waiting for %d tasks", 3)
    logging.getLogger("uvicorn.access").info('1.2.3.4 - "GET /?api_key=abc HTTP/1.1" 200')
    (line,) = lines_of(stream)
    assert (line["event"], line["level"], line["request_id"]) == ("Waiting for 3 tasks", "warning", "r1")


def test_a_lower_level_is_not_written() -> None:
    stream = configured(level="WARNING")
    structlog.get_logger().info("quiet")
    logging.getLogger("uvicorn.error").info("quiet")
    structlog.get_logger().warning("loud")
    assert [line["event"] for line in lines_of(stream)] == ["loud"]


def test_values_under_a_secrets_name_are_blackened_however_deep() -> None:
    stream = configured()
    structlog.get_logger().info(
        "x",
        api_key="k1",
        password="k2",
        headers={"Authorization": "k3", "Accept": "text/plain"},
        calls=[{"aws_secret_access_key": "k4", "session_token": "k5"}],
        tokens={"github": "k6"},
        input_tokens=12,
        total_tokens=34,
    )
    (line,) = lines_of(stream)
    assert not any(f"k{number}" in stream.getvalue() for number in range(1, 7))
    assert line["headers"]["Accept"] == "text/plain"
    assert (line["input_tokens"], line["total_tokens"]) == (12, 34)


def test_known_values_are_blackened_wherever_they_turn_up() -> None:
    stream = configured(SECRET)
    log = structlog.get_logger()
    log.info(f"said {SECRET}", note=f"<{SECRET}>", inner={"a": [SECRET]})
    logging.getLogger("uvicorn.error").error("failed with %s", SECRET)
    try:
        raise ValueError(SECRET)
    except ValueError:
        log.exception("raised")
    written = stream.getvalue()
    assert "c4n4ry" not in written
    assert "ß-secret" not in written
    assert [line["level"] for line in lines_of(stream)] == ["info", "error", "error"]
    assert "ValueError: [redacted]" in lines_of(stream)[2]["exception"]


def test_a_terminal_gets_readable_lines_without_variables_or_secrets() -> None:
    stream = configured("hidden-by-value", stream=Terminal())
    try:
        local = "a-local-variable"
        raise ValueError(local.upper() + "hidden-by-value")
    except ValueError:
        structlog.get_logger().exception("sandbox.lost", password="abc")
    written = stream.getvalue()
    assert "sandbox.lost" in written
    assert "Traceback" in written
    assert not any(hidden in written for hidden in ("abc", "hidden-by-value", "locals"))
    with pytest.raises(json.JSONDecodeError):
        json.loads(written.splitlines()[0])


def test_every_secret_of_the_settings_is_known_the_passwords_in_urls_too() -> None:
    settings = Settings(
        server=Server(api_keys=(SecretStr("first-api-key-of-many"), SecretStr("second-api-key"))),
        database=Database(database_url=SecretStr("postgresql://app:p%40ss-word@db/x")),
        redis=Redis(redis_password=SecretStr("redis-secret")),
        models=ModelService(aws_secret_access_key=SecretStr("aws-secret")),
    )
    assert {
        "first-api-key-of-many",
        "second-api-key",
        "postgresql://app:p%40ss-word@db/x",
        "p%40ss-word",
        "p@ss-word",
        "redis-secret",
        "aws-secret",
    } <= secret_values(settings)


def test_short_values_are_not_hunted_for() -> None:
    stream = configured("", "info")
    structlog.get_logger().info("information")
    assert lines_of(stream)[0]["event"] == "information"
