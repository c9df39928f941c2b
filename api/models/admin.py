"""Requests and answers about keys, the clock, the caller and the service's health."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from horae.api.models.schedules import Request, Shown
from horae.domain import timing as t
from horae.domain.key import Scope
from horae.domain.timing.values import Instant


class IssueKey(Request):
    """A key to make."""

    label: str = Field(min_length=1, max_length=100, description="Whose it is, or what for.", examples=["billing"])
    scope: Scope = Field(default=Scope.WRITE, description="`write` includes `read`, `admin` both.", examples=["write"])
    expires_at: Instant | None = Field(
        default=None, description="From when it works no more; default: never.", examples=["2028-01-01T00:00:00Z"]
    )


class RotateKey(Request):
    """How the old key ends."""

    overlap: t.Duration | None = Field(
        default=None, description="How long the old key works on, up to P90D; default: P1D.", examples=["P1D"]
    )


class KeyShown(Shown):
    """A key, without its text."""

    id: UUID
    prefix: str | None = Field(default=None, description="The text's beginning, to recognise it by.")
    label: str
    scope: str
    status: str = Field(description="active, rotated (works until expires_at), expired or revoked", examples=["active"])
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    rotated_from: UUID | None = None
    successor: UUID | None = None


class KeyMade(KeyShown):
    """A new key; its text is here and never again."""

    key: str | None = Field(description="The text; null when the request is a repeat: it is stored nowhere.")
    position: int
    replayed: bool = False


class KeyList(Shown):
    """A page of keys."""

    items: list[KeyShown]
    next: str | None = None


class SigningSecret(Shown):
    """What receivers check signatures with."""

    tenant: str
    secret: str = Field(
        description="In the Standard Webhooks form.", examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]
    )


class Me(Shown):
    """Who calls."""

    tenant: str
    key: UUID
    scope: Scope
    expires_at: datetime | None = None


class ClockShown(Shown):
    """What time it is for the service."""

    mode: Literal["real", "virtual"]
    now: datetime
    target: datetime | None = Field(default=None, description="How far virtual time was asked to move.")


class AdvanceClock(Request):
    """How far to move virtual time: exactly one of the two."""

    to: Instant | None = Field(default=None, description="To this instant.", examples=["2027-01-01T00:00:00Z"])
    by: t.CalendarDuration | None = Field(default=None, description="By so much.", examples=["P1D"])


class Component(Shown):
    """One part of the service."""

    status: Literal["healthy", "degraded", "unhealthy", "absent"] = Field(
        description="`absent`: no part of this installation; `error` says what does its work."
    )
    responseTime: float | None = Field(default=None, description="Milliseconds.")  # noqa: N815 - the catalogue's name
    details: dict[str, Any] | None = None
    error: str | None = None


class HealthShown(Shown):
    """The service's health."""

    status: Literal["healthy", "degraded", "unhealthy"]
    timestamp: datetime
    uptime: float = Field(description="Seconds since this process began to serve.")
    version: str
    checks: dict[str, Component]
    reasons: list[str] = Field(default_factory=list, description="Why it is not ready.")
