"""What is asked of the model service, and what goes wrong with it."""

from dataclasses import dataclass
from typing import Literal

from app.errors import ExternalServiceFailed

Operation = Literal["invoke", "invoke-with-response-stream", "count-tokens"]


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One call. Nothing of it but the body comes from the sandbox."""

    bedrock_model_id: str
    region: str
    operation: Operation
    body: bytes


class ModelRefused(ExternalServiceFailed):
    """The model service refused the call."""

    def __init__(self, status: int, kind: str, message: str, retry_after: str | None = None) -> None:
        super().__init__()
        self.refused_with = status
        """The status to tell the caller, who retries by it."""
        self.kind = kind
        """The service's own name of the error, e.g. `ThrottlingException`."""
        self.reason = message
        """The service's own sentence, without what identifies the account."""
        self.retry_after = retry_after


class AnswerBroken(ExternalServiceFailed):
    """The model service's answer did not arrive whole."""
