"""`python -m benchmarks.hard_cases`: the table of docs/time.md, each peer really run. `--write` puts it there.

Needs Java 17 and Maven for Quartz, and pip for APScheduler; both are fetched into a folder that is thrown away. What a
peer writes otherwise (seconds last, weekdays from 1) is rewritten for it first.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from horae.domain import errors
from horae.domain import timing as t

HERE = Path(__file__).parent
DOCS = HERE.parents[1] / "docs" / "time.md"
BEGIN, END = "<!-- hard cases: begin -->", "<!-- hard cases: end -->"
COUNT = 3
QUARTZ, APSCHEDULER = "2.5.0", "3.11.3"
_POM = """<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>hard</groupId><artifactId>cases</artifactId><version>1</version><dependencies><dependency>
<groupId>org.quartz-scheduler</groupId><artifactId>quartz</artifactId><version>{}</version>
</dependency></dependencies></project>"""

Answer = list[int] | str


class Case(NamedTuple):
    """One line of cases.txt; `after` in epoch seconds."""

    title: str
    expression: str
    zone: str
    after: int


def read() -> list[Case]:
    """The cases."""
    lines = [line for line in (HERE / "cases.txt").read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    rows = [[cell.strip() for cell in line.split(" | ")] for line in lines]
    return [Case(a, b, c, round(datetime.fromisoformat(d).replace(tzinfo=UTC).timestamp())) for a, b, c, d in rows]


def horae(case: Case) -> Answer:
    """Our slots, by the default policies."""
    at = datetime.fromtimestamp(case.after, UTC)
    try:
        shown = t.preview(t.Every(cron=case.expression, zone=case.zone), COUNT, t.Context(at, UUID(int=17)))
    except errors.Invalid:
        return "refused"
    return [round(slot.due_at.timestamp()) for slot in shown.slots]


def python_peer(name: str, cases: list[Case], path: str = "") -> list[Answer]:
    """Answers of a peer in a process of its own."""
    asked = json.dumps([(c.expression, c.zone, c.after, COUNT) for c in cases])
    command = [sys.executable, str(HERE / "peers.py"), name]
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONTZPATH": ""}
    done = subprocess.run(command, input=asked, capture_output=True, text=True, check=True, env=environment)
    answers: list[Answer] = json.loads(done.stdout)
    return answers


def quartz(cases: list[Case], folder: Path) -> list[Answer]:
    """Answers of Quartz, on the JDK's zone data."""
    (folder / "pom.xml").write_text(_POM.format(QUARTZ), encoding="utf-8")
    fetch = ["mvn", "-q", "dependency:copy-dependencies", "-DoutputDirectory=libs"]
    subprocess.run(fetch, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    lines = "\n".join(f"{_quartz_text(c.expression)}|{c.zone}|{c.after}|{COUNT}" for c in cases)
    command = ["java", "-cp", f"{folder}/libs/*", str(HERE / "Quartz.java")]
    done = subprocess.run(command, input=lines, capture_output=True, text=True, check=True)
    told = done.stdout.splitlines()
    return ["refused" if line == "refused" else [int(word) for word in line.split()] for line in told]


def _quartz_text(expression: str) -> str:
    """Six fields, one day field `?`, Sunday as 1; both day fields restricted it cannot say, and refuses."""
    fields = expression.split()
    second, minute, hour, day, month, weekday = fields if len(fields) == 6 else ["0", *fields]
    weekday = re.sub(r"(?<![#/\d])[0-7](?!\d)", lambda m: str(int(m[0]) % 7 + 1), weekday)
    if weekday == "*":
        weekday = "?"
    elif day == "*":
        day = "?"
    return f"{second} {minute} {hour} {day} {month} {weekday}"


def _cell(ours: Answer, theirs: Answer) -> str:
    if theirs == ours or (ours == "refused" and theirs == []):
        return "same" if theirs != "refused" else "refused, too"
    if isinstance(theirs, str):
        return theirs
    if not theirs:
        return "nothing"
    if isinstance(ours, str):
        return _times(theirs[:1])
    i = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs)))
    return _times(theirs[i : i + 1]) if i < len(theirs) else "ends sooner"


def _times(instants: list[int]) -> str:
    return ", ".join(f"{datetime.fromtimestamp(i, UTC):%y-%m-%d %H:%M}{_seconds(i)}Z" for i in instants)


def _seconds(instant: int) -> str:
    return f":{instant % 60:02}" if instant % 60 else ""


def table(cases: list[Case], answers: dict[str, list[Answer]]) -> str:
    """Markdown: our instants, and of a peer whether they are the same, else the first that is not."""
    head = ["what is hard", "cron", "zone", "Horae", *answers]
    rows = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    same = dict.fromkeys(answers, 0)
    for i, case in enumerate(cases):
        ours = horae(case)
        shown = ours if isinstance(ours, str) else _times(ours)
        cells = {name: _cell(ours, found[i]) for name, found in answers.items()}
        for name, cell in cells.items():
            same[name] += cell in {"same", "refused, too"}
        rows.append("| " + " | ".join([case.title, f"`{case.expression}`", case.zone, shown, *cells.values()]) + " |")
    counted = " | ".join(f"**{n} of {len(cases)}**" for n in same.values())
    return "\n".join([*rows, f"| the same as Horae | | | | {counted} |"])


def main() -> None:
    """Run the peers and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="put the table into docs/time.md")
    write = parser.parse_args().write
    cases = read()
    with tempfile.TemporaryDirectory(prefix="horae-hard-cases-") as name:
        folder = Path(name)
        pip = [sys.executable, "-m", "pip", "install", "-q", "--target", str(folder / "python")]
        subprocess.run([*pip, f"apscheduler=={APSCHEDULER}"], check=True)
        answers = {
            "croniter 5.0.1": python_peer("croniter", cases),
            f"APScheduler {APSCHEDULER}": python_peer("apscheduler", cases, str(folder / "python")),
            "cronsim 2.8": python_peer("cronsim", cases),
            f"Quartz {QUARTZ}": quartz(cases, folder),
        }
    text = table(cases, answers)
    print(text)
    if write:
        docs = DOCS.read_text(encoding="utf-8")
        before, after = docs.split(BEGIN)[0], docs.split(END)[1]
        DOCS.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
