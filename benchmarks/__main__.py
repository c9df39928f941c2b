"""`make bench`: what the next slot costs (`timings`), then the first two lines of the comparison, on real processes.

HTTP, PostgreSQL and all on this machine:

1. Single creates over HTTP at concurrency 64.
2. Dispatch at 1,000 a second on `log:`, the whole path: due row, claim, release, outcome, read models.

Each is run in several rounds; the medians are printed beside the peers' published and raced figures, which come from
other runs on a comparable machine (2 cores, PostgreSQL with fsync): read them as an order of size, not as a race.
"""

from __future__ import annotations

import argparse
import json
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from benchmarks import timings

KEY = "hk_benchmark_key_of_this_machine_only_000000000"
BIN = Path(sys.executable).parent

CREATE_PEERS = "graphile-worker 1,620 (52) · River 4,550 (25) · procrastinate 2,057 (52) · Quartz 934 (360)"
DISPATCH_PEERS = "River 74 · graphile-worker 109 · BullMQ 96 · DBOS 1,915 · Quartz, procrastinate fall behind"


class Service:
    """A `horae run` of our own on a free port with a fresh data folder."""

    def __init__(self, folder: Path, *options: str) -> None:
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.data = folder / "data"
        self._log = (folder / "horae.log").open("wb")
        command = [str(BIN / "horae"), "run", "--port", str(self.port), "--data", str(self.data), "--api-key", KEY]
        command += options
        self._process = subprocess.Popen(command, stdout=self._log, stderr=subprocess.STDOUT)
        self.client = httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}", headers={"Authorization": f"Bearer {KEY}"}, timeout=120
        )
        self._await_ready(folder)

    @property
    def pid(self) -> int:
        """The supervisor's."""
        return self._process.pid

    def _await_ready(self, folder: Path) -> None:
        deadline = time.monotonic() + 600
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            try:
                if self.client.get("/readyz").status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        self.stop()
        raise SystemExit((folder / "horae.log").read_text())

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(60)


def create_round(service: Service, seconds: float) -> dict[str, Any]:
    load = Path(__file__).with_name("http_load.py")
    command = [sys.executable, str(load), "--port", str(service.port), "--key", KEY]
    done = subprocess.run([*command, "--seconds", str(seconds)], check=True, capture_output=True, text=True)
    result: dict[str, Any] = json.loads(done.stdout)
    start = time.perf_counter()
    service.client.get("/v1/schedules", params={"limit": 1, "min_position": result["last_position"]}).raise_for_status()
    result["read_models_behind_s"] = round(time.perf_counter() - start, 2)
    return result


def dispatch_round(service: Service, rate: int, seconds: float) -> dict[str, Any]:
    """Create rate x seconds one-offs spread evenly, wait until all are released, and measure released minus due."""
    total = int(rate * seconds)
    lead_s = 8 + total / 2500
    first = datetime.now(UTC) + timedelta(seconds=lead_s)
    tag = f"bench-{first.timestamp():.0f}"
    for begin in range(0, total, 2000):
        lines = [
            json.dumps(
                {
                    "recipient": f"user-{i}",
                    "channel": "log:",
                    "content": {"subject": tag},
                    "timing": {"kind": "at", "at": (first + timedelta(seconds=i / rate)).isoformat()},
                }
            )
            for i in range(begin, min(begin + 2000, total))
        ]
        answer = service.client.post(
            "/v1/schedules/bulk", content="\n".join(lines), headers={"Content-Type": "application/x-ndjson"}
        )
        answer.raise_for_status()
    created_late = datetime.now(UTC) > first
    lateness = _collect(service.data / "releases.ndjson", tag, total, first + timedelta(seconds=seconds + 60))
    lateness.sort()
    within = sum(late <= 1 for late in lateness) / total
    return {
        "created_in_time": not created_late,
        "released": len(lateness),
        "lost": total - len(lateness),
        "p50_ms": _percentile_ms(lateness, 0.5),
        "p99_ms": _percentile_ms(lateness, 0.99),
        "max_ms": round(lateness[-1] * 1000, 1),
        "within_1s": within,
    }


def _percentile_ms(ordered_s: list[float], share: float) -> float:
    return round(ordered_s[min(len(ordered_s) - 1, int(len(ordered_s) * share))] * 1000, 1)


def _collect(releases: Path, tag: str, total: int, deadline: datetime) -> list[float]:
    seen: dict[str, float] = {}
    offset = 0
    while len(seen) < total and datetime.now(UTC) < deadline:
        time.sleep(0.25)
        with releases.open("rb") as file:
            file.seek(offset)
            data = file.read()
        end = data.rfind(b"\n") + 1
        offset += end
        for line in data[:end].splitlines():
            release = json.loads(line)
            if release["content"].get("subject") == tag:
                due, released = (datetime.fromisoformat(release[k]) for k in ("due_at", "released_at"))
                if release["occurrence_id"] in seen:
                    raise SystemExit(f"released twice: {release['occurrence_id']}")
                seen[release["occurrence_id"]] = (released - due).total_seconds()
    return list(seen.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rate", type=int, default=1000)
    args = parser.parse_args()
    console = Console()
    timings.report(console)
    folder = Path(tempfile.mkdtemp(prefix="horae-bench-"))
    folder.chmod(0o755)
    service = Service(folder)
    try:
        creates, dispatches = [], []
        create_round(service, 3)  # warm-up
        for n in range(args.rounds):
            console.print(f"round {n + 1} of {args.rounds} …")
            creates.append(create_round(service, args.seconds))
            console.print("  creates ", creates[-1])
            dispatches.append(dispatch_round(service, args.rate, args.seconds))
            console.print("  dispatch", dispatches[-1])
    finally:
        service.stop()

    def median(rounds: list[dict[str, Any]], key: str) -> float:
        return float(statistics.median(r[key] for r in rounds))

    errors = sum(r["errors"] for r in creates)
    table = Table(title=f"medians of {args.rounds} rounds of {args.seconds:g} s", show_lines=True)
    for column in ("what", "Horae", "target", "peers, one run each on a comparable machine"):
        table.add_column(column)
    table.add_row(
        "creates/s over HTTP, concurrency 64 (p95 ms)",
        f"{median(creates, 'per_second'):,.0f} ({median(creates, 'p95_ms')}), {errors} errors",
        "≥ 2,500 (< 50)",
        CREATE_PEERS,
    )
    table.add_row(
        f"lateness p99 ms at {args.rate:,}/s on log:",
        f"{median(dispatches, 'p99_ms')} (p50 {median(dispatches, 'p50_ms')}), "
        f"within 1 s {median(dispatches, 'within_1s'):.2%}, lost {sum(r['lost'] for r in dispatches)}",
        "≤ 50, ≥ 99.99 %",
        DISPATCH_PEERS,
    )
    console.print(table)


if __name__ == "__main__":
    main()
