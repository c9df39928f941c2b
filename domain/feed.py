"""A feed: an address at which calendar programs find a tenant's, or one recipient's, schedules as iCalendar.

Whoever knows its token reads it without a key, so that of the token only its SHA-256 is ever stored.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, ClassVar, assert_never

from pydantic import StringConstraints

from horae.domain.envelope import Event, Value
from horae.domain.errors import Conflict
from horae.domain.personal import RECIPIENT_LIMIT


class FeedOwner(Value):
    """The personal part: whose schedules the feed shows."""

    recipient: Annotated[str, StringConstraints(min_length=1, max_length=RECIPIENT_LIMIT)]


class FeedOpened(Event):
    """A feed was made; the text of its token was shown once and is not stored."""

    name: ClassVar[str] = "feed.opened.v1"
    #: SHA-256 of the token, hexadecimal.
    sha256: str
    #: The token's first characters, to recognise it in lists.
    prefix: str
    label: str
    #: None: everybody's schedules, like `personal`.
    recipient_ref: str | None = None
    personal: FeedOwner | None = None
    #: Of the request body under its Idempotency-Key.
    request_digest: str | None = None


class FeedRotated(Event):
    """The feed has another token; the one before works until `old_until`, so that programs can change over."""

    name: ClassVar[str] = "feed.rotated.v1"
    sha256: str
    prefix: str
    old_until: datetime
    request_digest: str | None = None


class FeedRevoked(Event):
    """The feed answers no more."""

    name: ClassVar[str] = "feed.revoked.v1"
    reason: str | None = None


FeedEvent = FeedOpened | FeedRotated | FeedRevoked


@dataclass(frozen=True, slots=True)
class Feed:
    """The fold of a feed's stream."""

    version: int
    prefix: str
    label: str
    recipient: str | None
    revoked: bool = False
    #: The token before the present one works until then.
    old_until: datetime | None = None


def evolve(state: Feed | None, event: FeedEvent) -> Feed:
    """The state after `event`."""
    if isinstance(event, FeedOpened):
        return Feed(1, event.prefix, event.label, event.personal.recipient if event.personal else None)
    if state is None:
        raise ValueError("the stream of a feed does not begin with its opening")
    match event:
        case FeedRotated():
            return replace(state, version=state.version + 1, prefix=event.prefix, old_until=event.old_until)
        case FeedRevoked():
            return replace(state, version=state.version + 1, revoked=True)
        case _ as never:
            assert_never(never)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotate:
    """Give the feed another token; the caller made its text and keeps it."""

    sha256: str
    prefix: str
    old_until: datetime
    request_digest: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoke:
    """End the feed now."""

    reason: str | None = None


def decide(command: Rotate | Revoke, state: Feed) -> list[FeedEvent]:
    """Raises `Conflict` where a revoked feed is to be rotated."""
    match command:
        case Revoke():
            return [] if state.revoked else [FeedRevoked(reason=command.reason)]
        case Rotate():
            if state.revoked:
                raise Conflict("The feed is revoked.", field="feed", value=state.label, hint="Open a new one.")
            return [
                FeedRotated(
                    sha256=command.sha256,
                    prefix=command.prefix,
                    old_until=command.old_until,
                    request_digest=command.request_digest,
                )
            ]
        case _ as never:
            assert_never(never)
