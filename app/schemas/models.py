"""Models as they travel."""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, Field, StringConstraints

from app.schemas.common import ABSENT, GREATEST_INTEGER, Amount, ChosenId, Input, Moment, Output, PlainText, Price

ModelStatus = Literal["active", "deprecated"]

DisplayName = Annotated[PlainText, Field(min_length=1, max_length=200, description="For people.")]
BedrockModelId = Annotated[
    PlainText, Field(min_length=1, max_length=200, description="The model service's id or inference profile.")
]
Region = Annotated[
    str,
    StringConstraints(pattern="^[a-z0-9-]{1,50}$"),
    Field(description="AWS region, e.g. `us-east-1`; null is the setting's."),
]
Tokens = Annotated[int, Field(ge=1, le=GREATEST_INTEGER)]
ContextWindow = Annotated[Tokens, Field(description="Tokens of a whole request.")]
MaxOutputTokens = Annotated[Tokens, Field(description="Tokens of one answer at most.")]
ExtendedContextWindow = Annotated[
    Tokens | None, Field(description="Tokens of a whole request when extended; null is `context_window`.")
]
PerThousand = Annotated[Price, Field(description="USD per 1,000 tokens, at most 6 fraction digits.")]

FREE = Decimal(0)


class ModelCreate(Input):
    """A new model."""

    model_id: ChosenId
    display_name: DisplayName
    bedrock_model_id: BedrockModelId
    model_region: Region | None = None
    context_window: ContextWindow = 200_000
    max_output_tokens: MaxOutputTokens = 64_000
    supports_extended_context: bool = False
    extended_context_window: ExtendedContextWindow = None
    input_token_price: PerThousand = FREE
    output_token_price: PerThousand = FREE
    cache_creation_5m_price: PerThousand = FREE
    cache_creation_1h_price: PerThousand = FREE
    cache_read_price: PerThousand = FREE
    status: ModelStatus = "active"


class ModelUpdate(Input):
    """What to change: an absent field stays, null clears a nullable one; `model_id` is ignored.

    A new price counts from the next model call on.
    """

    display_name: DisplayName = ABSENT
    bedrock_model_id: BedrockModelId = ABSENT
    model_region: Region | None = None
    context_window: ContextWindow = ABSENT
    max_output_tokens: MaxOutputTokens = ABSENT
    supports_extended_context: bool = ABSENT
    extended_context_window: ExtendedContextWindow = None
    input_token_price: PerThousand = ABSENT
    output_token_price: PerThousand = ABSENT
    cache_creation_5m_price: PerThousand = ABSENT
    cache_creation_1h_price: PerThousand = ABSENT
    cache_read_price: PerThousand = ABSENT
    status: ModelStatus = ABSENT


class Model(Output):
    """A model that tenants may use; prices in USD per 1,000 tokens."""

    model_id: str
    display_name: str
    bedrock_model_id: str
    model_region: str | None
    context_window: int
    max_output_tokens: int
    supports_extended_context: bool
    extended_context_window: int | None
    input_token_price: Amount
    output_token_price: Amount
    cache_creation_5m_price: Amount
    cache_creation_1h_price: Amount
    cache_read_price: Amount
    status: ModelStatus = Field(description="A deprecated model takes no new tenants and conversations.")
    created_at: Moment
    updated_at: Moment


class ModelQuery(BaseModel):
    """Which models, by `display_name`."""

    status: ModelStatus | None = None
