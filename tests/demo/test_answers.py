"""Where the demonstration takes its answers from."""

from pathlib import Path

import pytest

from app.config import ModelService
from demo.answers import find_answers
from demo.errors import DemoFailed


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """One that knows nothing of AWS."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_DEFAULT_REGION", "AWS_DEFAULT_PROFILE", "BEDROCK_ENDPOINT_URL", "AWS_WEB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    return monkeypatch


def with_shared_credentials(folder: Path) -> None:
    (folder / "credentials").write_text("[default]\naws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = example\n")


def test_a_machine_without_credentials_gets_the_stand_in() -> None:
    answers = find_answers(ModelService(), stand_in=False)
    assert answers.from_stand_in
    assert "no AWS credentials were found" in answers.sentence
    assert "\n" not in answers.sentence


def test_credentials_of_the_shared_configuration_with_a_region_lead_to_bedrock(tmp_path: Path) -> None:
    with_shared_credentials(tmp_path)
    (tmp_path / "config").write_text("[default]\nregion = eu-central-1\n")
    answers = find_answers(ModelService(), stand_in=False)
    assert (answers.from_stand_in, answers.region) == (False, "eu-central-1")
    assert "AWS Bedrock in eu-central-1" in answers.sentence


def test_credentials_of_the_environment_with_a_region_lead_to_bedrock(machine: pytest.MonkeyPatch) -> None:
    machine.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    machine.setenv("AWS_SECRET_ACCESS_KEY", "example")
    machine.setenv("AWS_REGION", "us-east-1")
    answers = find_answers(ModelService(), stand_in=False)
    assert (answers.from_stand_in, answers.region) == (False, "us-east-1")


def test_credentials_without_a_region_get_the_stand_in_and_the_reason(tmp_path: Path) -> None:
    with_shared_credentials(tmp_path)
    answers = find_answers(ModelService(), stand_in=False)
    assert answers.from_stand_in
    assert "no region (AWS_REGION)" in answers.sentence


def test_a_given_endpoint_is_used_as_it_is() -> None:
    answers = find_answers(ModelService(bedrock_endpoint_url="http://127.0.0.1:9"), stand_in=False)
    assert not answers.from_stand_in
    assert "http://127.0.0.1:9" in answers.sentence


def test_who_asks_for_the_stand_in_gets_it(tmp_path: Path) -> None:
    with_shared_credentials(tmp_path)
    assert find_answers(ModelService(aws_region="us-east-1"), stand_in=True).from_stand_in


def test_a_profile_that_does_not_exist_is_said(machine: pytest.MonkeyPatch) -> None:
    machine.setenv("AWS_PROFILE", "missing")
    with pytest.raises(DemoFailed, match="missing"):
        find_answers(ModelService(), stand_in=False)
