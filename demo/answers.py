"""Where the model's answers come from: AWS Bedrock if there are credentials and a region for it, else the stand-in."""

from dataclasses import dataclass
from pathlib import Path

from botocore.exceptions import BotoCoreError
from botocore.session import Session

from app.config import ModelService
from demo.errors import DemoFailed

VENDOR = Path("/sys/class/dmi/id/sys_vendor")
STAND_IN = "Answers come from the scripted stand-in, not from a language model: {}."


@dataclass(frozen=True, slots=True)
class Answers:
    """Who answers, and how to say so."""

    sentence: str
    from_stand_in: bool
    region: str | None = None


def find_answers(settings: ModelService, *, stand_in: bool) -> Answers:
    """Look where the server will look. Raises `DemoFailed` when the AWS configuration is broken."""
    if stand_in:
        return _stand_in("so you asked")
    if settings.bedrock_endpoint_url:
        return Answers(f"Answers come from {settings.bedrock_endpoint_url} (BEDROCK_ENDPOINT_URL).", False)
    try:
        return _found(settings, Session())
    except BotoCoreError as error:
        raise DemoFailed(f"The AWS configuration cannot be used: {error}") from error


def _found(settings: ModelService, session: Session) -> Answers:
    if not _has_credentials(settings, session):
        return _stand_in("no AWS credentials were found")
    region = _region(settings, session)
    if region is None:
        return _stand_in("AWS credentials were found, but no region (AWS_REGION)")
    return Answers(f"Answers come from AWS Bedrock in {region}; this costs a few cents.", False, region)


def _stand_in(reason: str) -> Answers:
    return Answers(STAND_IN.format(reason), True)


def _has_credentials(settings: ModelService, session: Session) -> bool:
    if settings.aws_access_key_id and settings.aws_secret_access_key:
        return True
    chain = session.get_component("credential_provider")
    if not _on_ec2():
        chain.remove("iam-role")  # elsewhere nothing answers at its address, which takes seconds to notice
    return chain.load_credentials() is not None


def _region(settings: ModelService, session: Session) -> str | None:
    if "aws_region" in settings.model_fields_set:
        return settings.aws_region
    found: str | None = session.get_config_variable("region")
    return found


def _on_ec2() -> bool:
    try:
        return VENDOR.read_text().strip() == "Amazon EC2"
    except OSError:
        return False
