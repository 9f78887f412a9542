"""What goes wrong is told for what it is."""

from pathlib import Path

import pytest

from runner.protocol import Failed, Opened, Retrying, SessionInit, TurnEnded
from standin.server import Address
from tests.runner.client import Backend, of, outcome
from tests.runner.conftest import Runner, options, running
from tests.runner.scenes import FOREVER

pytestmark = pytest.mark.needs_cli

FAILURES = [
    "validation",
    "expired",
    *(f"{kind} after=3" for kind in ("throttling", "model_error", "internal", "timeout")),
]


@pytest.mark.parametrize(
    "failure", [FAILURES[0], *(pytest.param(failure, marks=pytest.mark.slow) for failure in FAILURES[1:])]
)
async def test_a_failure_of_the_model_is_never_a_success(runner: Runner, session_id: str, failure: str) -> None:
    async with runner.backend() as backend:
        backend.open(options(session_id))
        backend.prompt(f"@text some words before\n@fail {failure}")
        end = await backend.next(TurnEnded, seconds=60)
        retried = of(Retrying, backend.frames)

        assert end.outcome == "error"
        assert end.reason
        assert end.reason.startswith("api_error")
        assert end.errors
        assert all(frame.attempt > 0 for frame in retried)
        assert outcome(await backend.turn("@text alive")).outcome == "success"


async def test_a_call_that_succeeds_when_repeated_is_a_success_that_tells_so(backend: Backend) -> None:
    found = await backend.turn("@fail unavailable times=1\n@text there")

    assert of(Retrying, found)[0].attempt == 1
    assert outcome(found).outcome == "success"
    assert outcome(found).result == "there"


@pytest.mark.slow
async def test_too_many_turns_are_an_error(runner: Runner, session_id: str) -> None:
    async with runner.backend() as backend:
        backend.open(options(session_id, max_turns=1))
        backend.prompt('@tool Bash {"command": "echo"}\n@text never')
        end = await backend.next(TurnEnded)

    assert (end.outcome, end.reason) == ("error", "error_max_turns")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("session", "changes"),
    [
        ("no uuid", {}),
        (None, {"resume": True}),
        (None, {"output_format": {"type": "json_schema", "schema": {"type": "nonsense"}}}),
    ],
)
async def test_options_that_the_cli_refuses_are_told(
    runner: Runner, session: str | None, changes: dict[str, object]
) -> None:
    async with runner.backend() as backend:
        backend.open(options(session, **changes))
        assert (await backend.next(Failed)).kind == "options"
        backend.open(options())
        await backend.next(Opened)


async def test_a_cli_that_is_not_there_fails_to_start(folder: Path, own_address: Address) -> None:
    async with (
        running(folder, folder / "gateway", RUNNER_CLI_PATH="/nonexistent") as runner,
        runner.backend() as backend,
    ):
        backend.open(options())
        assert (await backend.next(Failed)).kind == "start"


async def test_a_store_that_cannot_be_read_fails_the_resume(runner: Runner) -> None:
    async with runner.backend() as backend:
        backend.store_error = "database down"
        backend.open(options(resume=True))
        failed = await backend.next(Failed)

    assert failed.kind == "store"
    assert "database down" in failed.message


async def test_a_store_that_cannot_be_written_ends_the_process(runner: Runner, backend: Backend) -> None:
    backend.store_error = "disk full"
    begun = len(backend.frames)
    backend.prompt(FOREVER)
    failed = await backend.next(Failed, begun)

    assert (failed.kind, failed.message) == ("store", "disk full")
    assert runner.below() == []


async def test_a_prompt_without_a_process_is_refused(runner: Runner) -> None:
    async with runner.backend() as backend:
        backend.prompt("hi")
        assert (await backend.next(Failed)).kind == "protocol"


async def test_a_prompt_during_a_turn_is_refused_and_disturbs_nothing(backend: Backend) -> None:
    begun = len(backend.frames)
    backend.prompt('@tool Bash {"command": "sleep 0.5"}\n@text undisturbed')
    await backend.next(SessionInit, begun)
    backend.prompt("@text me too")
    assert (await backend.next(Failed, begun)).kind == "protocol"
    end = await backend.next(TurnEnded, begun)

    assert (end.outcome, end.result) == ("success", "undisturbed")
