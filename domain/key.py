"""An API key: who may call, with which scopes, until when. Only the key's SHA-256 is ever stored."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, assert_never
from uuid import UUID

from horae.domain.envelope import Event
from horae.domain.errors import Conflict


class Scope(StrEnum):
    """What a key may do; `write` includes `read`, `admin` includes both."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


class KeyIssued(Event):
    """A key was made; its text was shown once and is not stored."""

    name: ClassVar[str] = "key.issued.v1"
    #: SHA-256 of the key, hexadecimal.
    sha256: str
    #: The key's first characters, to recognise it in lists.
    prefix: str
    label: str
    scope: Scope
    expires_at: datetime | None = None
    #: The key that this one replaces.
    rotated_from: UUID | None = None
    #: Of the request body under its Idempotency-Key.
    request_digest: str | None = None


class KeyRotated(Event):
    """A successor was issued; this key works until `expires_at`, so that callers can change over."""

    name: ClassVar[str] = "key.rotated.v1"
    successor: UUID
    expires_at: datetime


class KeyRevoked(Event):
    """The key works no more."""

    name: ClassVar[str] = "key.revoked.v1"
    reason: str | None = None


KeyEvent = KeyIssued | KeyRotated | KeyRevoked


@dataclass(frozen=True, slots=True)
class Key:
    """The fold of a key's stream."""

    version: int
    sha256: str
    label: str
    scope: Scope
    expires_at: datetime | None
    revoked: bool = False
    successor: UUID | None = None


def evolve(state: Key | None, event: KeyEvent) -> Key:
    """The state after `event`."""
    if isinstance(event, KeyIssued):
        return Key(version=1, sha256=event.sha256, label=event.label, scope=event.scope, expires_at=event.expires_at)
    if state is None:
        raise ValueError("the stream of a key does not begin with its issue")
    match event:
        case KeyRotated():
            return replace(state, version=state.version + 1, successor=event.successor, expires_at=event.expires_at)
        case KeyRevoked():
            return replace(state, version=state.version + 1, revoked=True)
        case _ as never:
            assert_never(never)


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue:
    """Make a key; the caller made its text and keeps it."""

    sha256: str
    prefix: str
    label: str
    scope: Scope
    expires_at: datetime | None = None
    rotated_from: UUID | None = None
    request_digest: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotate:
    """Let the key end at `expires_at`, in favour of `successor`."""

    successor: UUID
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoke:
    """End the key now."""

    reason: str | None = None


def issue(command: Issue) -> KeyIssued:
    """The first event of a key."""
    return KeyIssued(
        sha256=command.sha256,
        prefix=command.prefix,
        label=command.label,
        scope=command.scope,
        expires_at=command.expires_at,
        rotated_from=command.rotated_from,
        request_digest=command.request_digest,
    )


def decide(command: Rotate | Revoke, state: Key) -> list[KeyEvent]:
    """Raises `Conflict` if the key is revoked or already has a successor."""
    match command:
        case Revoke():
            return [] if state.revoked else [KeyRevoked(reason=command.reason)]
        case Rotate():
            if state.revoked or state.successor is not None:
                raise Conflict(
                    "The key is revoked or already rotated.",
                    field="key",
                    value=state.label,
                    hint="Rotate its successor, or issue a new key.",
                )
            ends = command.expires_at if state.expires_at is None else min(state.expires_at, command.expires_at)
            return [KeyRotated(successor=command.successor, expires_at=ends)]
        case _ as never:
            assert_never(never)
