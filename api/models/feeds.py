"""Requests and answers about calendar feeds."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from horae.api.models.schedules import Request, Shown
from horae.domain import timing as t
from horae.domain.personal import RECIPIENT_LIMIT


class OpenFeed(Request):
    """A feed to make."""

    label: str = Field(
        min_length=1, max_length=100, description="What calendar programs call the calendar.", examples=["On call"]
    )
    recipient: str | None = Field(
        default=None,
        min_length=1,
        max_length=RECIPIENT_LIMIT,
        description="Whose schedules; default: everybody's.",
        examples=["user-17"],
    )


class RotateFeed(Request):
    """How the present address ends."""

    overlap: t.Duration | None = Field(
        default=None, description="How long it works on beside the new one, up to P90D; default: P7D.", examples=["P7D"]
    )


class FeedShown(Shown):
    """A feed, without its token."""

    id: UUID
    prefix: str | None = Field(default=None, description="The token's beginning, to recognise it by.")
    label: str
    recipient: str | None = Field(default=None, description="Whose schedules; null: everybody's.")
    status: Literal["active", "revoked"]
    created_at: datetime
    old_until: datetime | None = Field(default=None, description="So long the address before this one works.")
    revoked_at: datetime | None = None


class FeedMade(FeedShown):
    """A feed with a new address, which is here and never again."""

    token: str | None = Field(description="Null when the request is a repeat: it is stored nowhere.")
    path: str | None = Field(description="Where calendar programs find it.", examples=["/feeds/hf_3q2-7w.ics"])
    url: str | None = Field(description="The same, at the address by which the API was reached.")
    position: int
    replayed: bool = False


class FeedList(Shown):
    """A page of feeds."""

    items: list[FeedShown]
    next: str | None = None
