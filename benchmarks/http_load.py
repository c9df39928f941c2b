"""A small HTTP/1.1 load generator: N connections, each one request after the other, no client library in the way.

Run as its own process by `__main__.py`, so that the generator's work is not the service's. Prints one JSON object:
requests, errors, seconds, and latency percentiles in milliseconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from dataclasses import dataclass, field


@dataclass
class Tally:
    """What one run saw."""

    latencies_s: list[float] = field(default_factory=list)
    errors: int = 0
    last_position: int = 0


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes, body: bytes
) -> tuple[int, bytes]:
    writer.write(head % len(body) + body)
    status_line = await reader.readline()
    length = 0
    while (line := await reader.readline()) not in (b"\r\n", b""):
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    return int(status_line.split()[1]), await reader.readexactly(length)


async def _client(number: int, args: argparse.Namespace, until: float, tally: Tally) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", args.port)
    head = (
        f"POST /v1/schedules HTTP/1.1\r\nHost: 127.0.0.1:{args.port}\r\nAuthorization: Bearer {args.key}\r\n"
        "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    ).encode()
    n = 0
    while (start := time.perf_counter()) < until:
        n += 1
        body = json.dumps(
            {
                "recipient": f"user-{number}-{n}",
                "channel": "log:",
                "content": {"subject": "Your order has shipped", "body": "Track it in the app, any time."},
                "timing": {"kind": "at", "local": "2029-06-01T09:00", "zone": "Europe/Berlin"},
            }
        ).encode()
        status, answer = await _exchange(reader, writer, head, body)
        if status == 201:
            tally.latencies_s.append(time.perf_counter() - start)
            tally.last_position = max(tally.last_position, json.loads(answer)["position"])
        else:
            tally.errors += 1
    writer.close()


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=10)
    args = parser.parse_args()
    tally = Tally()
    start = time.perf_counter()
    await asyncio.gather(*(_client(i, args, start + args.seconds, tally) for i in range(args.concurrency)))
    seconds = time.perf_counter() - start
    sorted_ms = sorted(s * 1000 for s in tally.latencies_s)

    def at(share: float) -> float:
        return round(sorted_ms[min(len(sorted_ms) - 1, int(len(sorted_ms) * share))], 1) if sorted_ms else 0.0

    print(
        json.dumps(
            {
                "requests": len(sorted_ms),
                "errors": tally.errors,
                "seconds": round(seconds, 2),
                "per_second": round(len(sorted_ms) / seconds),
                "p50_ms": at(0.5),
                "p95_ms": at(0.95),
                "p99_ms": at(0.99),
                "last_position": tally.last_position,
            }
        )
    )


if __name__ == "__main__":
    asyncio.run(main())
