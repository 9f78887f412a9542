"""Types that several nouns share, and the paging of lists."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from decimal import Decimal
from typing import Annotated, Any, Generic, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
)

from app.errors import Detail, ValidationFailed
from app.utils.dates import Period, first_moment, last_moment
from app.utils.ids import CHOSEN_ID, is_chosen_id
from app.utils.times import stamp

T = TypeVar("T")

GREATEST_INTEGER = 2_147_483_647
GREATEST_PRICE = Decimal("99999999.999999")
PRICE_DIGITS = 6
GREATEST_EXACT = 2**53
DEEPEST = 50

_NOT_STORABLE = re.compile("[\0\ud800-\udfff]")
_PLAIN_NUMBER = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,20})?\Z")

ABSENT: Any = Field(default_factory=lambda: None)
"""Default of a field of an update that may be left out but not be null."""


def _chosen(text: str) -> str:
    if not is_chosen_id(text):
        raise ValueError("must not be . or ..")
    return text


def _storable(text: str) -> str:
    if _NOT_STORABLE.search(text):
        raise ValueError("must hold neither U+0000 nor half a surrogate pair")
    return text


def _number(value: object) -> Decimal:
    if isinstance(value, str) and _PLAIN_NUMBER.match(value):
        return Decimal(value)
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return Decimal(value)
    raise ValueError("must be a decimal number, as a string or a number")


def _price(value: object) -> Decimal:
    number = _number(value)
    if not number.is_finite() or number < 0 or number > GREATEST_PRICE:
        raise ValueError(f"must be between 0 and {GREATEST_PRICE}")
    exponent = number.as_tuple().exponent
    if isinstance(exponent, int) and exponent < -PRICE_DIGITS:
        raise ValueError(f"must have at most {PRICE_DIGITS} fraction digits")
    return abs(number)


def _six_digits(value: Decimal) -> str:
    return f"{value:.{PRICE_DIGITS}f}"


def _plain(value: Any, depth: int = 0) -> Any:  # noqa: ANN401 -- any JSON
    """Refuses what some reader of JSON cannot hold: NUL, half characters, numbers out of range, great depth."""
    if depth > DEEPEST:
        raise ValueError(f"must not be deeper than {DEEPEST} levels")
    if isinstance(value, dict):
        return {_plain(key): _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, depth + 1) for item in value]
    if isinstance(value, str):
        if "\0" in value or (not value.isprintable() and any("\ud800" <= character <= "\udfff" for character in value)):
            raise ValueError("must not hold NUL or half a character")
        return value
    return _plain_number(value)


def _plain_number(value: Any) -> Any:  # noqa: ANN401 -- a number, true, false or null
    if isinstance(value, bool) or value is None:
        return value
    if not -GREATEST_EXACT <= value <= GREATEST_EXACT:
        raise ValueError("must not hold numbers beyond 2^53")
    return float(value) if isinstance(value, Decimal) else value


PlainJson = Annotated[dict[str, Any], AfterValidator(_plain)]
"""A JSON object that every reader can hold."""
ChosenId = Annotated[str, StringConstraints(pattern=CHOSEN_ID), AfterValidator(_chosen)]
"""An id that the caller chooses."""
PlainText = Annotated[str, AfterValidator(_storable)]
"""Text that the database can hold."""
Price = Annotated[
    Decimal,
    BeforeValidator(_price),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": r"^[0-9]{1,8}(\.[0-9]{1,6})?$"},
                {"type": "number", "minimum": 0, "maximum": 99999999.999999},
            ]
        },
        mode="validation",
    ),
]
"""An amount of money that comes in: never through a float."""
Amount = Annotated[
    Decimal,
    PlainSerializer(_six_digits, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^[0-9]+\.[0-9]{6}$"}, mode="serialization"),
]
"""An amount of money that goes out: a string with six fraction digits."""
Moment = Annotated[
    datetime,
    PlainSerializer(stamp, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}, mode="serialization"),
]
"""A time that goes out: ISO 8601 in UTC with microseconds and `Z`."""


class Input(BaseModel):
    """A JSON object that comes in: unknown fields are ignored, types are not converted."""

    model_config = ConfigDict(strict=True, frozen=True)

    def changes(self) -> dict[str, Any]:
        """The fields that were given."""
        return self.model_dump(exclude_unset=True)


class Output(BaseModel):
    """A JSON object that goes out, read from a row."""

    model_config = ConfigDict(from_attributes=True, frozen=True)


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of a list."""

    items: Sequence[T]
    total: int
    """How many there are in the whole list."""
    limit: int
    offset: int


class PageQuery(BaseModel):
    """Where in a list to read."""

    limit: int
    """Items at most; each list sets its own range."""
    offset: int = Field(default=0, ge=0, le=GREATEST_INTEGER, description="Items to pass over.")


def _parsed(field: str, text: str | None, zone: tzinfo, parse: Callable[[str, tzinfo], datetime]) -> datetime | None:
    try:
        return parse(text, zone) if text is not None else None
    except ValueError as error:
        detail = Detail(f"query.{field}", "must be an ISO 8601 date or time", "datetime_parsing")
        raise ValidationFailed(details=(detail,)) from error


class PeriodQuery(BaseModel):
    """When; both ends belong to it."""

    from_date: str | None = Field(
        default=None, max_length=64, description="ISO 8601; a date or no zone is read in the zone of the setting."
    )
    to_date: str | None = Field(
        default=None, max_length=64, description="As `from_date`; a bare date means that whole day."
    )

    def period(self, zone: tzinfo) -> Period:
        """Both ends in UTC. Raises ValidationFailed, also if the end is before the start."""
        start = _parsed("from_date", self.from_date, zone, first_moment)
        end = _parsed("to_date", self.to_date, zone, last_moment)
        if start and end and end < start:
            detail = Detail("query.to_date", "must not be before from_date", "before_from_date")
            raise ValidationFailed(details=(detail,))
        return Period(start, end)
