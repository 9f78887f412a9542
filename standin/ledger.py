"""What the stand-in remembers of the calls it answered: the truth against which usage rows are compared.

The rule. A call answered with an error status counts no tokens. Of a stream, the input (with its cache counts) counts
when the first frame of the answer is handed to the connection, and each delta's output when that delta is; a frame
that was cut or damaged counts nothing. So a broken stream counts its whole input and the output in front of the break.
An answer that is sent whole (`invoke`, `converse`) counts if it is sent undamaged, else nothing.
`@usage` replaces the input counts at the start and the output count at the closing frames. `output_tokens_stated` is
the last output count that the stream itself named. `finished` says that the answer went out to its end. A call for
`count-tokens` is free: its counts stay 0.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from standin.tokens import Usage

_CALLS = 100_000
_REQUESTS = 200
_REQUEST_BYTES = 64 * 1024 * 1024
_COUNTED = ("input_tokens", "output_tokens", "cache_creation_5m", "cache_creation_1h", "cache_read")


@dataclass(slots=True)
class Call:
    """One call of a model."""

    id: str
    """The answer's message id."""
    request_id: str
    """The answer's `x-amzn-RequestId`."""
    model: str
    operation: str
    usage: Usage = field(default_factory=Usage)
    output_tokens_stated: int = 0
    status: int | None = None
    """None while nothing is answered yet."""
    failure: str | None = None
    """What went wrong: a kind of `@fail`, `client_gone`, `malformed`, `unsigned`."""
    finished: bool = False
    frames: int = 0
    open: bool = True

    def as_json(self) -> dict[str, Any]:
        values = asdict(self)
        usage: dict[str, int] = values.pop("usage")
        return {**values, **usage}


@dataclass(frozen=True, slots=True)
class Recorded:
    """One request as it came in."""

    method: str
    path: str
    headers: list[tuple[str, str]]
    body: bytes
    request_id: str


class Ledger:
    """Calls, totals and the last requests."""

    def __init__(self) -> None:
        self._calls: deque[Call] = deque(maxlen=_CALLS)
        self._requests: deque[Recorded] = deque(maxlen=_REQUESTS)

    def open(self, call: Call) -> Call:
        self._calls.append(call)
        return call

    def record(self, request: Recorded) -> None:
        """Keep a request; the oldest give way when there are too many or they are too large."""
        self._requests.append(request)
        while sum(len(kept.body) for kept in self._requests) > _REQUEST_BYTES and len(self._requests) > 1:
            self._requests.popleft()

    def clear(self) -> None:
        """Forget everything; calls under way are not seen again."""
        self._calls.clear()
        self._requests.clear()

    def requests(self) -> Iterator[Recorded]:
        return iter(self._requests)

    def counters(self) -> dict[str, Any]:
        """Totals, totals per model and operation, and every call."""
        calls = [call.as_json() for call in self._calls]
        by_model: dict[str, dict[str, dict[str, int]]] = {}
        for call in calls:
            operations = by_model.setdefault(call["model"], {})
            _add(operations.setdefault(call["operation"], {}), call)
        totals: dict[str, int] = {}
        for call in calls:
            _add(totals, call)
        return {
            "totals": totals or dict.fromkeys(("calls", *_COUNTED), 0),
            "in_flight": sum(call["open"] for call in calls),
            "models": by_model,
            "calls": calls,
        }


def _add(sums: dict[str, int], call: dict[str, Any]) -> None:
    sums["calls"] = sums.get("calls", 0) + 1
    for name in _COUNTED:
        sums[name] = sums.get(name, 0) + call[name]
