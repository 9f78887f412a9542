"""Columns that several tables share."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated

from sqlalchemy import BigInteger, Numeric, func, text
from sqlalchemy.orm import mapped_column

Created = Annotated[datetime, mapped_column(server_default=func.clock_timestamp())]
Updated = Annotated[datetime, mapped_column(server_default=func.clock_timestamp(), onupdate=func.clock_timestamp())]
Count = Annotated[int, mapped_column(BigInteger, server_default=text("0"))]
Price = Annotated[Decimal, mapped_column(Numeric(14, 6), server_default=text("0"))]
Cost = Annotated[Decimal, mapped_column(Numeric(24, 9), server_default=text("0"))]
