"""The exception tree: a class is a status, a code and a sentence (its docstring, unless raised with another)."""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Detail:
    """One fault of an input."""

    field: str
    """Dotted, beginning with its source, e.g. `body.model_id`."""
    message: str
    code: str


class AppError(Exception):
    """Something went wrong on our side."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "INTERNAL_ERROR"

    def __init__(self, message: str | None = None, *, details: tuple[Detail, ...] = (), **extra: object) -> None:
        self.message = message or (type(self).__doc__ or "").strip().split("\n")[0]
        self.details = details
        self.extra = extra
        """Further members of the `error` object, e.g. `run_id`."""
        super().__init__(self.message)


class ValidationFailed(AppError):
    """The request does not have the expected shape."""

    status, code = 422, "VALIDATION_ERROR"


class RuleBroken(AppError):
    """The request breaks a rule."""

    status, code = 400, "VALIDATION_ERROR"


class InvalidInput(AppError):
    """The input cannot be used."""

    status, code = 400, "INVALID_INPUT"


class ResourceInactive(AppError):
    """The resource is not active."""

    status, code = 400, "RESOURCE_INACTIVE"


class Unauthorized(AppError):
    """A valid API key is needed."""

    status, code = 401, "UNAUTHORIZED"


class BudgetExceeded(AppError):
    """The budget is used up."""

    status, code = 402, "BUDGET_EXCEEDED"


class Forbidden(AppError):
    """This is not allowed."""

    status, code = 403, "FORBIDDEN"


class PathTraversal(AppError):
    """A path leads out of its folder."""

    status, code = 403, "PATH_TRAVERSAL"


class NotFound(AppError):
    """There is no such resource."""

    status, code = 404, "NOT_FOUND"


class MethodNotAllowed(AppError):
    """This path does not take that method."""

    status, code = 405, "METHOD_NOT_ALLOWED"


class Conflict(AppError):
    """The request conflicts with what exists."""

    status, code = 409, "CONFLICT"


class ConversationBusy(AppError):
    """The conversation is already running a turn."""

    status, code = 409, "RESOURCE_LOCKED"


class PayloadTooLarge(AppError):
    """The request is too large."""

    status, code = 413, "PAYLOAD_TOO_LARGE"


class RateLimited(AppError):
    """Too many requests; try again later."""

    status, code = 429, "RATE_LIMIT_EXCEEDED"


class ExternalServiceFailed(AppError):
    """A service this one depends on failed."""

    status, code = 502, "EXTERNAL_SERVICE_ERROR"


class ServiceUnavailable(AppError):
    """The service cannot do this at the moment; try again later."""

    status, code = 503, "SERVICE_UNAVAILABLE"


class StaleOwner(AppError):
    """Another replica owns this run now."""

    status, code = 409, "CONFLICT"
