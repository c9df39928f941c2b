"""Channels: where releases go out."""

from horae.infra.channels.log import LogChannel
from horae.infra.channels.webhook import WebhookChannel

__all__ = ["LogChannel", "WebhookChannel"]
