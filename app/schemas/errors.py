"""The one shape of every error answer."""

from pydantic import BaseModel, ConfigDict

from app.schemas.common import Moment


class ErrorDetail(BaseModel):
    """One fault of an input."""

    field: str
    """Dotted, beginning with its source, e.g. `body.model_id`."""
    message: str
    code: str


class Error(BaseModel):
    """What went wrong; some codes add members, e.g. `run_id` or `retry_after`."""

    model_config = ConfigDict(extra="allow")

    code: str
    message: str
    details: list[ErrorDetail] | None
    request_id: str
    """As in `X-Request-ID`."""
    timestamp: Moment


class ErrorEnvelope(BaseModel):
    """Every error answer."""

    error: Error
