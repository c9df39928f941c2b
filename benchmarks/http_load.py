"""A small HTTP/1.1 load generator: N connections, each one request after the other, no client library in the way.

A process of its own, so that the generator's work is not the service's. Creates as fast as they are answered, or at a
rate that does not ask whether anybody keeps up; then a latency counts from the instant at which its turn was, not from
when a connection was free. Prints one JSON object: requests, errors by kind, seconds, and latency percentiles in
milliseconds; with `--window` one such line for every stretch, and the last for the whole.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TypeAlias, cast

import uvloop

from benchmarks.figures import percentile

_PATIENCE_S = 30.0
_AGAIN_S = 0.5
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_POSITION = re.compile(rb'"position": ?(\d+)')
_CREATED = re.compile(rb'"created": ?(\d+)')

#: A request's number, and when it is to be sent by the loop's clock.
Turn: TypeAlias = tuple[int, float]


@dataclass
class Tally:
    """What was seen in one stretch of time."""

    latencies_s: list[float] = field(default_factory=list)
    created: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    last_position: int = 0

    def summary(self, seconds: float) -> dict[str, object]:
        """As it is printed."""
        at = {f"p{share * 100:g}_ms": percentile(self.latencies_s, share) for share in (0.5, 0.95, 0.99)}
        ms = {name: round(value * 1000, 1) if self.latencies_s else 0.0 for name, value in at.items()}
        return {
            "requests": len(self.latencies_s),
            "errors": self.errors.total(),
            "error_kinds": dict(self.errors),
            "seconds": round(seconds, 2),
            "created": self.created,
            "per_second": round(self.created / seconds),
            **ms,
            "last_position": self.last_position,
        }


class Load:
    """Gives turns to the connections and takes what came of them."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.loop = asyncio.get_running_loop()
        self.begin = self.loop.time() + 0.2
        self.until = self.begin + args.seconds
        self.turns = 0
        self.whole, self.window = Tally(), Tally()
        self.open = args.concurrency
        self.done = asyncio.Event()
        path = "/v1/schedules/bulk" if args.bulk else "/v1/schedules"
        kind = "application/x-ndjson" if args.bulk else "application/json"
        self._head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{args.port}\r\nAuthorization: Bearer {args.key}\r\n"
            f"Content-Type: {kind}\r\nContent-Length: %d\r\n\r\n"
        ).encode()
        timing: dict[str, object] = {"kind": "at", "local": "2029-06-01T09:00", "zone": "Europe/Berlin"}
        if args.due_in:
            timing = {"kind": "in", "delay": f"PT{args.due_in}S"}
        content = {"subject": args.subject, "body": "Track it in the app, any time."}
        body = {"recipient": "user-%d", "channel": "log:", "content": content, "timing": timing}
        self._body = json.dumps(body).encode()

    def turn(self) -> Turn | None:
        """The next request; None: no more."""
        rate = self.args.rate
        at = self.begin + self.turns / rate if rate else max(self.begin, self.loop.time())
        if at >= self.until:
            return None
        self.turns += 1
        return self.turns, at

    def request(self, number: int) -> bytes:
        """One create, or so many lines of them."""
        if self.args.bulk:
            first = number * self.args.bulk
            body = b"\n".join([self._body % n for n in range(first, first + self.args.bulk)])
        else:
            body = self._body % number
        return self._head % len(body) + body

    def answered(self, status: int, body: bytes, latency_s: float) -> None:
        """An answer has come whole."""
        if status not in (200, 201):
            self.failed(str(status))
            return
        created = int(_CREATED.findall(body)[-1]) if self.args.bulk else 1
        if self.args.bulk and created != self.args.bulk:
            self.failed("refused items")
        position = max(map(int, _POSITION.findall(body)), default=0)
        for tally in (self.whole, self.window):
            tally.latencies_s.append(latency_s)
            tally.created += created
            tally.last_position = max(tally.last_position, position)

    def failed(self, kind: str) -> None:
        """A request came to nothing."""
        for tally in (self.whole, self.window):
            tally.errors[kind] += 1

    def closed(self) -> None:
        """A connection has done its part."""
        self.open -= 1
        if not self.open:
            self.done.set()

    async def connect(self, turn: Turn | None = None) -> None:
        """Open one connection, however often that takes; `turn` is one that was given and has not been sent."""
        while True:
            try:
                await self.loop.create_connection(lambda: Client(self, turn), "127.0.0.1", self.args.port)
            except OSError as error:
                self.failed(type(error).__name__)
                if self.loop.time() + _AGAIN_S > self.until:
                    self.closed()
                    return
                await asyncio.sleep(_AGAIN_S)
            else:
                return


class Client(asyncio.Protocol):
    """One connection: a request, its answer, the next."""

    def __init__(self, load: Load, turn: Turn | None) -> None:
        self._load = load
        #: What is to be sent at its instant; None: it has been.
        self._turn = turn
        self._got = b""
        #: Since when an answer is awaited; None: none is.
        self._since: float | None = None
        #: Of the instant to send at, or of the patience with an answer.
        self._timer: asyncio.TimerHandle | None = None
        self._finished = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name
        self._next()

    def _next(self) -> None:
        self._turn = self._turn or self._load.turn()
        if self._turn is None:
            self._finished = True
            self._transport.close()
            self._load.closed()
            return
        wait_s = self._turn[1] - self._load.loop.time()
        if wait_s > 0:
            self._timer = self._load.loop.call_later(wait_s, self._send)
        else:
            self._send()

    def _send(self) -> None:
        assert self._turn is not None
        (number, at), self._turn = self._turn, None
        self._got, self._since = b"", at
        self._timer = self._load.loop.call_later(_PATIENCE_S, self._transport.abort)
        self._transport.write(self._load.request(number))

    def data_received(self, data: bytes) -> None:
        self._got += data
        head, blank, body = self._got.partition(b"\r\n\r\n")
        if not blank or self._since is None:
            return
        length = _LENGTH.search(head)
        if length is None:
            raise SystemExit(f"an answer without a length: {head.decode(errors='replace')}")
        if len(body) < int(length[1]):
            return
        assert self._timer is not None
        self._timer.cancel()
        since, self._since = self._since, None
        self._load.answered(int(head[9:12]), body, self._load.loop.time() - since)
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._finished:
            return
        if self._timer is not None:
            self._timer.cancel()
        if self._since is not None:
            self._load.failed("no answer" if exc is None else "connection lost")
        self._task = self._load.loop.create_task(self._load.connect(self._turn))


async def main(args: argparse.Namespace) -> None:
    """Load until the time is over and every answer has come, or its patience has ended."""
    load = Load(args)
    # A hundred at a time: what is measured is not how a listening socket takes a thousand at once.
    for first in range(0, args.concurrency, 100):
        await asyncio.gather(*(load.connect() for _ in range(first, min(first + 100, args.concurrency))))
    begin = last = time.monotonic()
    while not load.done.is_set():
        try:
            async with asyncio.timeout(args.window or None):
                await load.done.wait()
        except TimeoutError:
            now = time.monotonic()
            window, load.window = load.window, Tally()
            print(json.dumps(window.summary(now - last)), flush=True)
            last = now
    print(json.dumps({**load.whole.summary(time.monotonic() - begin), "whole": True}), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rate", type=float, default=0, help="requests a second; 0: as fast as they are answered")
    parser.add_argument("--bulk", type=int, default=0, help="schedules in a request; 0: single creates")
    parser.add_argument("--due-in", type=int, default=0, help="seconds until each is due; 0: years")
    parser.add_argument("--subject", default="Your order has shipped")
    parser.add_argument("--window", type=float, default=0, help="seconds after which a line is printed")
    uvloop.run(main(parser.parse_args()))
