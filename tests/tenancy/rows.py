"""Rows of tables that nobody needs to list: made from the columns."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, Column, Table
from sqlalchemy.dialects.postgresql import Insert, insert

from app.database import TenantId
from app.models import Tenant

A, B = TENANTS = TenantId("tenant-a"), TenantId("tenant-b")

METADATA = Tenant.metadata
WITHOUT_TENANCY = {"models"}
"""What belongs to the platform; every other table has a `tenant_id` and row-level security."""

TABLES = {table.name: table for table in METADATA.sorted_tables}
TENANT_TABLES = {name: table for name, table in TABLES.items() if name not in WITHOUT_TENANCY}

_NUMBERS = {A: 1, B: 2}
_OF_TYPE: dict[type, Any] = {
    str: "x",
    int: 1,
    bool: True,
    Decimal: Decimal(1),
    datetime: datetime(2026, 1, 1, tzinfo=UTC),
}
_OF_COLUMN = {"message_type": "user"}
"""Values of columns that take certain ones only."""


def _value(column: Column[Any], tenant: TenantId) -> object:
    if column.name == "tenant_id":
        return tenant
    if column.name in _OF_COLUMN:
        return _OF_COLUMN[column.name]
    if isinstance(column.type, JSON):
        return {}
    kind = column.type.python_type
    return UUID(int=_NUMBERS[tenant]) if kind is UUID else _OF_TYPE[kind]


def row(table: Table, tenant: TenantId) -> dict[str, Any]:
    """The least row: what has a default is left to it; ids are the same in all of a tenant's rows."""
    return {
        column.name: _value(column, tenant)
        for column in table.columns
        if column.server_default is None
        and column.identity is None
        and (not column.nullable or column.name == "run_id")
    }


def insertion(table: Table, values: dict[str, Any]) -> Insert:
    return insert(table).values(values)


def filling(tenant: TenantId) -> list[Insert]:
    """Statements that give the tenant a row in every table."""
    return [insertion(table, row(table, tenant)).on_conflict_do_nothing() for table in METADATA.sorted_tables]
