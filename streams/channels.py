"""What the dispatcher hands a claimed occurrence to: the port that every channel implements.

Place in the flow: dispatcher -> *channel* -> the outside world. Adapters live in `infra/channels/`; each passes the
contract suite `tests/contracts/channel.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol
from urllib.parse import urlsplit
from uuid import UUID

from horae.domain.channel import Channel as Address
from horae.domain.channel import Kafka, Log, Webhook
from horae.domain.delivery import Failure, Mode
from horae.domain.timing import Slot


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One attempt to send one occurrence. The same occurrence always has the same `occurrence` id."""

    tenant: str
    occurrence: UUID
    schedule: UUID
    recipient: str
    address: Address
    slot: Slot
    #: Aware UTC, by the service's clock (virtual or real).
    due_at: datetime
    released_at: datetime
    #: 1 for the first.
    attempt: int
    mode: Mode
    #: Of this attempt, by the machine's clock.
    timeout: timedelta
    content: Mapping[str, Any]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """What leaves the house, as JSON values."""
        return {
            "occurrence_id": str(self.occurrence),
            "schedule_id": str(self.schedule),
            "recipient": self.recipient,
            "slot": self.slot.local.isoformat(),
            "fold": self.slot.fold,
            "due_at": _instant(self.due_at),
            "released_at": _instant(self.released_at),
            "attempt": self.attempt,
            "content": dict(self.content),
            "metadata": dict(self.metadata),
            "tags": list(self.tags),
        }


@dataclass(frozen=True, slots=True)
class Receipt:
    """The channel took the release; `response` is what it answered, kept with the outcome."""

    response: dict[str, Any] | None = None


class ReleaseFailed(Exception):
    """The channel did not take the release, or nobody knows; `failure` says which and what may follow."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Channel(Protocol):
    """Sends releases of one kind of address."""

    async def release(self, release: Release) -> Receipt:
        """Send it once; when this returns, the other side has taken it.

        Raises `ReleaseFailed`, and nothing else on purpose. May be cancelled when the attempt's time is over: then
        nobody knows whether it arrived. Safe to call concurrently.
        """
        ...

    async def aclose(self) -> None:
        """Finish what was accepted and let go of files and connections. Idempotent."""
        ...


@dataclass(frozen=True, slots=True)
class Channels:
    """The channel of each kind of address."""

    log: Channel
    webhook: Channel
    #: None: this installation has no Kafka.
    kafka: Channel | None = None

    def of(self, address: Address) -> Channel:
        """The channel that serves `address`. Raises `ReleaseFailed` when there is none."""
        match address:
            case Webhook():
                return self.webhook
            case Log():
                return self.log
            case Kafka(topic):
                if self.kafka is None:
                    message = f"kafka:{topic}: this installation has no Kafka (any more); replay it when it has"
                    raise ReleaseFailed(Failure(kind="channel", message=message, nothing_arrived=True, retryable=False))
                return self.kafka

    async def aclose(self) -> None:
        """Close them all."""
        await self.log.aclose()
        await self.webhook.aclose()
        if self.kafka is not None:
            await self.kafka.aclose()


def endpoint_of(address: Address) -> str | None:
    """What shares a limit and a breaker: a webhook's scheme, host and port; a topic. None: only the global limit."""
    match address:
        case Log():
            return None
        case Webhook(url):
            parts = urlsplit(url)
            return f"{parts.scheme}://{parts.netloc.lower()}"
        case Kafka(topic):
            return f"kafka:{topic}"


def _instant(value: datetime) -> str:
    return value.isoformat().replace("+00:00", "Z")
