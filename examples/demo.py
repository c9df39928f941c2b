"""`make demo`: the example files on a virtual clock, from import to explanation, in about a minute.

Starts the real service with its time standing at 10 March 2027, imports `appointments.csv` and `calendar.ics`, lets 30
days pass, receives every message over HTTP, and holds what came against what the generator says must come. Ends with 1
if anything differs: each row's verdict and first instant, each due slot's one release, and a second import that adds
nothing.
"""

from __future__ import annotations

import asyncio
import csv
import json
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from aiohttp import web
from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

HERE = Path(__file__).parent
HORAE = str(Path(sys.executable).with_name("horae"))
KEY = "hk_demo-key-of-a-service-that-lives-a-minute"
BEGIN = datetime(2027, 3, 10, tzinfo=UTC)
DAYS = 30
END = BEGIN + timedelta(days=DAYS)

console = Console(highlight=False)


class Receiver:
    """Where the messages go: remembers each one's id and body."""

    def __init__(self) -> None:
        self.count: Counter[str] = Counter()
        self.messages: dict[str, dict[str, Any]] = {}
        self.port = 0

    async def __aenter__(self) -> Receiver:
        app = web.Application()
        app.router.add_post("/hook", self._take)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        identity = request.headers["webhook-id"]
        self.count[identity] += 1
        self.messages[identity] = await request.json()
        return web.Response(status=204)


class Service:
    """A `horae run` of our own, on a folder of its own that goes with it."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self.client = httpx.AsyncClient(base_url=self.url, headers={"Authorization": f"Bearer {KEY}"}, timeout=300)

    async def __aenter__(self) -> Service:
        command = [HORAE, "run", "--port", str(self.port), "--data", str(self._folder / "data"), "--api-key", KEY]
        command += ["--clock", f"virtual={BEGIN.isoformat()}", "--allow-private-targets"]
        log = self._folder / "horae.log"
        with log.open("wb") as errors:
            self._process = await asyncio.create_subprocess_exec(
                *command, stdout=asyncio.subprocess.PIPE, stderr=errors
            )
        assert self._process.stdout is not None
        async with asyncio.timeout(120):
            # The banner is printed when the service is ready.
            while line := await self._process.stdout.readline():
                if b"Ctrl-C" in line:
                    return self
        raise SystemExit(log.read_text(errors="replace"))

    async def __aexit__(self, *_: object) -> None:
        await self.client.aclose()
        self._process.terminate()
        await self._process.communicate()

    async def get(self, path: str, **params: Any) -> Any:
        response = await self.client.get(path, params=params)
        response.raise_for_status()
        return response.json()

    async def run_import(self, file: Path, channel: str, rejects: Path) -> dict[str, Any]:
        """`horae import`, as a user would; its progress bar goes to the terminal."""
        command = [HORAE, "import", str(file), "--url", self.url, "--api-key", KEY, "--channel", channel]
        process = await asyncio.create_subprocess_exec(
            *command, "--rejects", str(rejects), "--json", stdout=asyncio.subprocess.PIPE
        )
        out, _ = await process.communicate()
        if process.returncode != 0:
            raise SystemExit(process.returncode)
        report: dict[str, Any] = json.loads(out)
        return report


def expected(name: str) -> list[dict[str, str]]:
    with (HERE / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


class Judge:
    """Says what was compared and how it came out; remembers whether anything differed."""

    def __init__(self) -> None:
        self.differences = 0

    def check(self, what: str, good: bool, detail: str = "") -> None:
        self.differences += not good
        console.print(f"  [{'green' if good else 'bold red'}]{'✓' if good else '✗'}[/] {what} {detail}")


def compare_verdicts(judge: Judge, report: dict[str, Any]) -> None:
    rows = expected("appointments.expected.csv")
    wanted = {int(row["row"]): row["field"] for row in rows if row["verdict"] == "rejected"}
    got = {reject["row"]: reject["column"] for reject in report["rejected"]}
    counts = f"{report['accepted']:,} accepted + {len(got):,} rejected = {report['rows']:,} rows"
    judge.check(counts, report["accepted"] + len(got) == report["rows"] == len(rows))
    judge.check("the verdict of each row is the generator's, with the field at fault", got == wanted)


async def all_schedules(service: Service) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        page = await service.get("/v1/schedules", limit=500, **({"cursor": cursor} if cursor else {}))
        found += page["items"]
        cursor = page.get("next")
        if cursor is None:
            return found


def compare_instants(judge: Judge, schedules: list[dict[str, Any]]) -> None:
    wanted = Counter(row["due_at"] for row in expected("appointments.expected.csv") if row["due_at"])
    got = Counter(s["next_due_at"] for s in schedules if s["metadata"].get("type") != "calendar")
    judge.check("the first instant of each accepted row is the generator's", got == wanted)


async def due_slots(service: Service, schedules: list[dict[str, Any]]) -> set[tuple[str, str]]:
    """(schedule, due instant) of every slot up to the end, as the previews say before any time has passed."""
    found: set[tuple[str, str]] = set()
    for schedule in schedules:
        if schedule["timing"]["kind"] != "every":
            found.add((schedule["id"], schedule["next_due_at"]))
            continue
        preview = await service.get(f"/v1/schedules/{schedule['id']}/preview", count=DAYS + 5)
        found |= {(schedule["id"], slot["due_at"]) for slot in preview["slots"]}
    return {(schedule, due) for schedule, due in found if datetime.fromisoformat(due) <= END}


async def pass_time(service: Service, receiver: Receiver) -> None:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[sent]} sent"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=DAYS, sent="0")
        for day in range(1, DAYS + 1):
            to = BEGIN + timedelta(days=day)
            response = await service.client.post("/v1/clock/advance", json={"to": to.isoformat()})
            response.raise_for_status()
            progress.update(task, advance=1, description=f"{to:%d %b %Y}", sent=f"{receiver.count.total():,}")


def show_timeline(receiver: Receiver) -> None:
    per_day = Counter(message["due_at"][:10] for message in receiver.messages.values())
    most = max(per_day.values())
    table = Table(title="Releases a day (UTC)", box=None, title_justify="left")
    table.add_column("day")
    table.add_column("releases", justify="right")
    table.add_column("")
    for day in sorted(per_day):
        table.add_row(day, f"{per_day[day]:,}", f"[cyan]{'█' * round(50 * per_day[day] / most)}[/]")
    console.print(table)


async def tell_story(service: Service, receiver: Receiver) -> None:
    """The life of one message that was meant for 02:30 on the night when that time does not exist in Berlin."""
    identity = next(
        identity
        for identity, message in sorted(receiver.messages.items())
        if message["slot"].startswith("2027-03-28T02:30") and message["due_at"].startswith("2027-03-28T01:30")
    )
    explained = await service.get(f"/v1/occurrences/{identity}/explain")
    console.print(Panel("\n".join(explained["story"]), title=f"Why was {identity} sent?", title_align="left"))


def show_rejects(report: dict[str, Any]) -> None:
    table = Table(title="Rejected rows, one of each kind", box=None, title_justify="left")
    for column in ("row", "column", "reason", "what to do"):
        table.add_column(column, overflow="fold")
    shown: set[str] = set()
    for reject in report["rejected"]:
        if reject["column"] not in shown:
            shown.add(reject["column"])
            table.add_row(str(reject["row"]), reject["column"], reject["reason"], reject["hint"])
    console.print(table)


async def demo(folder: Path) -> int:
    judge = Judge()
    console.print(f"Starting Horae, its clock standing at {BEGIN:%d %B %Y} ...")
    async with Receiver() as receiver, Service(folder) as service:
        channel = f"webhook:http://127.0.0.1:{receiver.port}/hook"
        console.rule("import")
        report = await service.run_import(HERE / "appointments.csv", channel, folder / "rejects.csv")
        compare_verdicts(judge, report)
        calendar = await service.run_import(HERE / "calendar.ics", channel, folder / "ics-rejects.csv")
        refused = {row["uid"]: row["property"] for row in expected("calendar.expected.csv") if row["property"]}
        judge.check(
            f"calendar: {calendar['accepted']} events accepted, {len(refused)} rejected, each as it must be",
            {reject["label"]: reject["column"] for reject in calendar["rejected"]} == refused,
        )
        again = await service.run_import(HERE / "appointments.csv", channel, folder / "rejects.csv")
        judge.check(
            "a second import of the same file adds nothing", again["created"] == 0, f"({again['replayed']:,} known)"
        )
        schedules = await all_schedules(service)
        compare_instants(judge, schedules)
        console.rule("30 days")
        due = await due_slots(service, schedules)
        await pass_time(service, receiver)
        got = Counter((message["schedule_id"], message["due_at"]) for message in receiver.messages.values())
        judge.check(f"every due slot was released ({len(due):,})", due <= set(got), f"missing {len(due - set(got))}")
        judge.check("nothing else was", set(got) <= due, f"extra {len(set(got) - due)}")
        judge.check("each exactly once", max(receiver.count.values()) == max(got.values()) == 1)
        console.rule("what came")
        show_timeline(receiver)
        await tell_story(service, receiver)
        show_rejects(report)
    return 1 if judge.differences else 0


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="horae-demo-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL may run as another user
        try:
            code = asyncio.run(demo(folder))
        except subprocess.SubprocessError as error:
            raise SystemExit(str(error)) from None
    raise SystemExit(code)


if __name__ == "__main__":
    main()
