"""What the events of recipients, calendars, API keys and feeds change."""

from __future__ import annotations

from typing import Any

from horae.domain import calendar, feed, key, recipient
from horae.domain.envelope import Event, Recorded
from horae.projections.fold.batch import Rows, json_text


def _recipient(fold: Rows, event: Recorded, body: recipient.RecipientSet) -> None:
    profile, meta = body.personal, event.meta
    prior = fold.recipients.get((meta.tenant, profile.id))
    fold.recipients[meta.tenant, profile.id] = (
        meta.tenant,
        profile.id,
        body.recipient_ref,
        profile.zone,
        profile.locale,
        json_text(profile.attributes),
        event.version,
        prior[7] if prior else meta.recorded_at,
        meta.recorded_at,
        event.position,
        profile.segment,
    )


def _calendar(fold: Rows, event: Recorded, body: calendar.CalendarSet) -> None:
    definition = body.definition
    fold.calendars[event.meta.tenant, body.id] = (
        event.meta.tenant,
        body.id,
        definition.model_dump_json(exclude_none=True),
        json_text(sorted(set(definition.named))),
        body.subscription.model_dump_json(exclude_none=True) if body.subscription else None,
        event.version,
        event.meta.recorded_at,
        event.position,
    )


def _issued(fold: Rows, event: Recorded, body: key.KeyIssued) -> None:
    fold.keys_issued.append(
        (
            event.stream,
            event.meta.tenant,
            body.sha256,
            body.prefix,
            body.label,
            body.scope.value,
            event.meta.recorded_at,
            body.expires_at,
            body.rotated_from,
            event.version,
            event.position,
        )
    )


def _rotated(fold: Rows, event: Recorded, body: key.KeyRotated) -> None:
    fold.keys_rotated.append((event.stream, body.successor, body.expires_at, event.version, event.position))


def _revoked(fold: Rows, event: Recorded, _body: key.KeyRevoked) -> None:
    fold.keys_revoked.append((event.stream, event.meta.recorded_at, event.version, event.position))


def _opened(fold: Rows, event: Recorded, body: feed.FeedOpened) -> None:
    fold.feeds_opened.append(
        (
            event.stream,
            event.meta.tenant,
            body.sha256,
            body.prefix,
            body.label,
            body.personal.recipient if body.personal else None,
            body.recipient_ref,
            event.meta.recorded_at,
            event.version,
            event.position,
        )
    )


def _feed_rotated(fold: Rows, event: Recorded, body: feed.FeedRotated) -> None:
    fold.feeds_rotated.append((event.stream, body.sha256, body.prefix, body.old_until, event.version, event.position))


def _feed_revoked(fold: Rows, event: Recorded, _body: feed.FeedRevoked) -> None:
    fold.feeds_revoked.append((event.stream, event.meta.recorded_at, event.version, event.position))


HANDLERS: dict[type[Event], Any] = {
    recipient.RecipientSet: _recipient,
    calendar.CalendarSet: _calendar,
    key.KeyIssued: _issued,
    key.KeyRotated: _rotated,
    key.KeyRevoked: _revoked,
    feed.FeedOpened: _opened,
    feed.FeedRotated: _feed_rotated,
    feed.FeedRevoked: _feed_revoked,
}
