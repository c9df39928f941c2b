"""What one create and one fire cost in CPU: user and system time of the API, the worker and PostgreSQL, divided.

A machine that others share says nothing by wall time; CPU time holds still better, though it too grows when others
press on the same cores. To compare two versions run both at the same time, or by turns, and more than once:

    .venv/bin/python -m benchmarks.cpu            # the tree that is installed
    PYTHONPATH=OTHER/src .venv/bin/python -m benchmarks.cpu

1. Creates over HTTP, one request each, at a fixed rate (or as fast as they go: `--rate 0`) on 64 connections.
2. Fires on `log:` at a fixed rate: due row, claim, release, outcome, read models.
3. The same on `webhook:` to a receiver in this process.

`--pids` also prints the processes, and `--only` names phases: for a profiler beside it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.service import KEY, KINDS, Service, cpu_of, kinds_of


def per_operation(root: int, operations: int, work: Callable[[], None]) -> dict[str, float]:
    """Microseconds of CPU that each of `operations` cost, by kind of process, when `work` did them all."""
    before = cpu_of(root)
    work()
    after = cpu_of(root)
    cost = {kind: round((after[kind] - before[kind]) / operations * 1e6) for kind in KINDS}
    return {**cost, "all": sum(cost.values())}


# --- creates --------------------------------------------------------------------------------------------------------


async def _create_many(port: int, total: int, rate: float) -> int:
    """Send `total` creates; gives the latest position that was answered."""
    started, sent, latest = time.monotonic(), 0, 0

    async def client(number: int) -> None:
        nonlocal sent, latest
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while sent < total:
            sent += 1
            turn = sent
            if rate:
                await asyncio.sleep(max(0.0, started + turn / rate - time.monotonic()))
            body = json.dumps(
                {
                    "recipient": f"user-{number}-{turn}",
                    "channel": "log:",
                    "content": {"subject": "Your order has shipped", "body": "Track it in the app, any time."},
                    "timing": {"kind": "at", "local": "2029-06-01T09:00", "zone": "Europe/Berlin"},
                }
            ).encode()
            writer.write(
                b"POST /v1/schedules HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %b\r\n"
                b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (KEY.encode(), len(body), body)
            )
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 201"):
                raise SystemExit(f"a create was answered {head.decode()}")
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
            answer = json.loads(await reader.readexactly(length))
            latest = max(latest, answer["position"])
        writer.close()

    await asyncio.gather(*(client(number) for number in range(64)))
    return latest


def creates(service: Service, total: int, rate: float) -> None:
    """Create, and wait until the read models show it."""
    settle(service, asyncio.run(_create_many(service.port, total, rate)))


def settle(service: Service, position: int) -> None:
    """Wait until the read models have applied this position, however long it takes a busy machine."""
    while service.client.get("/v1/schedules", params={"limit": 1, "min_position": position}).status_code == 503:
        pass


# --- fires ----------------------------------------------------------------------------------------------------------


@dataclass
class Receiver:
    """A webhook's other side, in a thread: answers 204 and counts."""

    port: int = 0
    received: int = 0
    _ready: threading.Event = field(default_factory=threading.Event)

    def start(self) -> None:
        threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True).start()
        self._ready.wait(10)

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._connected, "127.0.0.1", 0, backlog=1024)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await server.serve_forever()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]))
                self.received += 1
                writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


def ask_for(service: Service, channel: str, total: int, rate: float) -> datetime:
    """Create one-offs by bulk, due at `rate` from some seconds on; gives the first one's instant."""
    first = datetime.now(UTC) + timedelta(seconds=10 + total / 150)
    for begin in range(0, total, 1000):
        lines = [
            json.dumps(
                {
                    "recipient": f"user-{i}",
                    "channel": channel,
                    "content": {"subject": "Your order has shipped", "body": "Track it in the app, any time."},
                    "timing": {"kind": "at", "at": (first + timedelta(seconds=i / rate)).isoformat()},
                }
            )
            for i in range(begin, min(begin + 1000, total))
        ]
        answer = service.client.post(
            "/v1/schedules/bulk", content="\n".join(lines), headers={"Content-Type": "application/x-ndjson"}
        ).raise_for_status()
    settle(service, answer.json()["position"])
    if datetime.now(UTC) > first:
        raise SystemExit("the machine is too busy: the first fire was due before the last was asked for")
    return first


def fires(service: Service, first: datetime, total: int, rate: float) -> None:
    """Wait until all have come due and are completed in the read models."""
    time.sleep(max(0.0, (first - datetime.now(UTC)).total_seconds() + total / rate))
    deadline = time.monotonic() + 60
    while service.client.get("/v1/schedules", params={"limit": 1, "status": "executing"}).json()["items"]:
        if time.monotonic() > deadline:
            raise SystemExit("some fires did not end within a minute")
        time.sleep(0.5)
    left = service.client.get("/v1/schedules", params={"limit": 1, "due_to": datetime.now(UTC).isoformat()})
    if left.raise_for_status().json()["items"]:
        raise SystemExit("some did not fire")


def _fire_phase(service: Service, root: int, channel: str, total: int, rate: float) -> dict[str, float]:
    first = ask_for(service, channel, total, rate)
    time.sleep(max(0.0, (first - datetime.now(UTC)).total_seconds() - 1))
    return per_operation(root, total, lambda: fires(service, first, total, rate))


def main() -> None:
    """Measure the phases and print a JSON object for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--creates", type=int, default=3000)
    parser.add_argument("--fires", type=int, default=3000)
    parser.add_argument("--rate", type=float, default=300, help="operations a second; creates: 0 for no pause")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", nargs="*", choices=("create", "log", "webhook"), default=("create", "log", "webhook"))
    parser.add_argument("--pids", action="store_true", help="print the processes before each phase")
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="horae-cpu-"))
    folder.chmod(0o755)
    service = Service(folder, "--allow-private-targets")
    receiver = Receiver()
    receiver.start()
    root = service.pid
    phases: dict[str, Callable[[], dict[str, float]]] = {
        "create": lambda: per_operation(root, args.creates, lambda: creates(service, args.creates, args.rate)),
        "log": lambda: _fire_phase(service, root, "log:", args.fires, args.rate or 300),
        "webhook": lambda: _fire_phase(
            service, root, f"webhook:http://127.0.0.1:{receiver.port}/hook", args.fires, args.rate or 300
        ),
    }
    try:
        start = {kind: round(cpu_s, 2) for kind, cpu_s in cpu_of(root).items()}
        print(json.dumps({"phase": "start, in s", **start}), flush=True)
        creates(service, 300, 0)
        for _ in range(args.rounds):
            for phase in args.only:
                if args.pids:
                    pids: dict[str, Any] = {k: [p.pid for p in found] for k, found in kinds_of(root).items()}
                    print(json.dumps({"phase": phase, **pids}), flush=True)
                print(json.dumps({"phase": f"{phase}, in µs each", **phases[phase]()}, ensure_ascii=False), flush=True)
    finally:
        service.stop()


if __name__ == "__main__":
    main()
