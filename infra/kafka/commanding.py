"""Puts what comes by Kafka before the API's own door: commands, and reports of engagement.

Place in the flow: topics -> `inputs.py` -> `streams/commanding.py`, `streams/engaging.py` -> *the application here*, in
the API's process, without a socket.
"""

from __future__ import annotations

import asyncio

from fastapi import FastAPI
from starlette.types import ASGIApp, Message

from horae.api.door import UNLIMITED
from horae.infra.kafka.inputs import Input, InputConsumer
from horae.infra.kafka.publisher import KafkaPublisher
from horae.infra.kafka.security import security_of
from horae.infra.kafka.topics import topics_of
from horae.infra.settings import Settings
from horae.streams import engaging
from horae.streams.commanding import Commanding, runs
from horae.streams.engaging import Engaging
from horae.streams.inputs import Door, Request, Response


async def serve(app: FastAPI, settings: Settings) -> None:
    """Take what comes by the input topics, until cancelled. `app`: the API, whose services are open."""
    async with asyncio.TaskGroup() as group:
        group.create_task(serve_commands(app, settings), name="commands")
        group.create_task(serve_engagement(app, settings), name="engagement")


async def serve_commands(app: FastAPI, settings: Settings) -> None:
    """Carry out what comes by `schedule-commands`, until cancelled."""
    counter, topics = app.state.metrics.commands, topics_of(settings)
    async with KafkaPublisher(
        settings.kafka_brokers, "horae-command-replies", security=security_of(settings)
    ) as publisher:
        taker = Commanding(in_process(app), publisher, topics, key_header=settings.api_key_header)
        source = Input(topics.commands, "commands", taker, runs, lambda result, n: counter.labels(result).inc(n))
        await InputConsumer(settings, source).run()


async def serve_engagement(app: FastAPI, settings: Settings) -> None:
    """Take in what comes by `engagement-events`, until cancelled."""
    counter, topics = app.state.metrics.engagements, topics_of(settings)
    async with KafkaPublisher(
        settings.kafka_brokers, "horae-engagement-dead", security=security_of(settings)
    ) as publisher:
        # Read at our own pace, so there is nothing to limit, and who is behind a key must not wait for its turn.
        taker = Engaging(in_process(app, limited=False), publisher, topics, key_header=settings.api_key_header)
        source = Input(
            topics.engagement,
            "engagement",
            taker,
            engaging.stretches,
            lambda result, n: counter.labels(result).inc(n),
        )
        await InputConsumer(settings, source).run()


def in_process(app: ASGIApp, *, limited: bool = True) -> Door:
    """The application as a door: a request to it without a socket, a client or a server.

    `limited`: whether requests count against the rate limit of their key.
    """

    async def door(request: Request) -> Response:
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": "http",
            "path": request.path,
            "raw_path": request.path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [
                (b"host", b"horae"),
                (b"content-length", b"%d" % len(request.body)),
                *((name.encode(), value.encode()) for name, value in request.headers),
            ],
            "client": None,
            "server": None,
            "state": {UNLIMITED: not limited},
        }
        answered: list[Message] = []
        asked = False

        async def receive() -> Message:
            nonlocal asked
            if asked:
                return {"type": "http.disconnect"}
            asked = True
            return {"type": "http.request", "body": request.body, "more_body": False}

        async def send(message: Message) -> None:
            answered.append(message)

        await app(scope, receive, send)
        start = next(message for message in answered if message["type"] == "http.response.start")
        headers = {name.lower(): value for name, value in start["headers"]}
        retry_after = headers.get(b"retry-after", b"")
        return Response(
            status=start["status"],
            body=b"".join(message.get("body", b"") for message in answered),
            retry_after_s=float(retry_after) if retry_after.isdigit() else None,
        )

    return door
