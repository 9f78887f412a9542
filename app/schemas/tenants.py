"""Tenants as they travel."""

from typing import Literal

from pydantic import Field

from app.schemas.common import ABSENT, ChosenId, Input, Moment, Output, PageQuery, PlainText

TenantStatus = Literal["active", "inactive"]

PROMPT_LENGTH = 100_000


class TenantCreate(Input):
    """A new tenant; it is active."""

    tenant_id: ChosenId
    system_prompt: PlainText | None = Field(
        default=None, max_length=PROMPT_LENGTH, description="What agents and titles are told first, in characters."
    )
    model_id: ChosenId | None = Field(default=None, description="Model of conversations that name none; active.")


class TenantUpdate(Input):
    """What to change: an absent field stays, null clears a nullable one."""

    system_prompt: PlainText | None = Field(default=None, max_length=PROMPT_LENGTH)
    model_id: ChosenId | None = Field(default=None, description="Must be active if it differs from the present one.")
    status: TenantStatus = ABSENT


class Tenant(Output):
    """A customer of the platform."""

    tenant_id: str
    system_prompt: str | None
    model_id: str | None
    status: TenantStatus = Field(description="An inactive tenant is read-only and runs nothing.")
    created_at: Moment
    updated_at: Moment


class TenantQuery(PageQuery):
    """Which tenants, newest first."""

    status: TenantStatus | None = None
    limit: int = Field(default=100, ge=1, le=1000, description="Items at most.")
