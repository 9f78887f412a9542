"""The models as the gateway's policy and meter see them."""

from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import Select, select

from app.models.model import Model
from app.repositories.base import Repository, S_co


@dataclass(frozen=True, slots=True)
class Prices:
    """USD per 1,000 tokens."""

    input: Decimal = Decimal(0)
    output: Decimal = Decimal(0)
    cache_creation_5m: Decimal = Decimal(0)
    cache_creation_1h: Decimal = Decimal(0)
    cache_read: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class PricedModel:
    """A registered model."""

    model_id: str
    bedrock_model_id: str
    region: str | None
    active: bool
    prices: Prices


class ModelPrices(Repository[S_co]):
    """All models, for any tenant."""

    def _by_id(self) -> Select[Model]:
        return select(Model).order_by(Model.model_id)

    async def list(self) -> list[PricedModel]:
        """Every model, by its id."""
        return [_priced(model) for model in await self._all(self._by_id())]


def _priced(model: Model) -> PricedModel:
    prices = Prices(
        model.input_token_price,
        model.output_token_price,
        model.cache_creation_5m_price,
        model.cache_creation_1h_price,
        model.cache_read_price,
    )
    return PricedModel(model.model_id, model.bedrock_model_id, model.model_region, model.status == "active", prices)
