"""`make hard-cases`: puts the cases to java.time and to the peers, really run, and writes the table of docs/time.md.

Needs Java 17 and Maven for java.time and Quartz, and uv or pip for the Python peers. These are in no list of what Horae
needs: `requirements.txt` (with hashes) and `pom.xml` beside this name them, and they are fetched into a folder that is
thrown away. With `--recorded` none of them is asked: the table is made of what they said last.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.hard_cases import table
from benchmarks.hard_cases.cases import COUNT, Case, read

HERE = Path(__file__).parent
#: Fetching, and running each of them.
TIMEOUT_S = 600


def _run(command: list[str], asked: str = "", **more: Any) -> str:
    done = subprocess.run(command, input=asked, capture_output=True, text=True, timeout=TIMEOUT_S, **more)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}\n{done.stderr}")
    return str(done.stdout)


def _java(program: str, asked: str, path: str = "") -> list[str]:
    classpath = ["-cp", path] if path else []
    return _run(["java", "-XX:+UseSerialGC", "-Xmx256m", *classpath, str(HERE / program)], asked).splitlines()


def java_time(cases: list[Case]) -> tuple[str, list[list[list[list[int]]]]]:
    """The release, and what java.time makes of each case's local times, reading by reading."""
    asked = [f"{case.zone}|{','.join(times)}" for case in cases for times in case.readings() if times]
    release, *told = _java("LocalTimes.java", "\n".join(asked) + "\n")
    lines = iter(told)
    return release, [
        [[[int(n) for n in at.split(",")] for at in next(lines).split()] if times else [] for times in case.readings()]
        for case in cases
    ]


def python_peers(cases: list[Case], folder: Path) -> dict[str, list[table.Answer]]:
    """Answers of the three Python peers, each in a process of its own, on the zone data of the package `tzdata`."""
    locked = ["--quiet", "--require-hashes", "-r", str(HERE / "requirements.txt"), "--target", str(folder)]
    if shutil.which("uv"):
        _run(["uv", "pip", "install", "--python", sys.executable, *locked])
    else:
        _run([sys.executable, "-m", "pip", "install", "--disable-pip-version-check", *locked])
    return {name: peer(name, cases, folder) for name in ("croniter", "apscheduler", "cronsim")}


def peer(name: str, cases: list[Case], folder: Path | None = None) -> list[table.Answer]:
    """Answers of one of them; `folder`: where it was installed, None: beside Horae."""
    asked = json.dumps([(c.written.get(name, c.cron), c.zone, c.after, COUNT) for c in cases])
    environment = {**os.environ, "PYTHONPATH": str(folder or ""), "PYTHONTZPATH": ""}
    answers: list[table.Answer] = json.loads(
        _run([sys.executable, str(HERE / "peers.py"), name], asked, env=environment)
    )
    return answers


def quartz(cases: list[Case], folder: Path) -> list[table.Answer]:
    """Answers of Quartz, on the JDK's zone data."""
    shutil.copy(HERE / "pom.xml", folder / "pom.xml")
    _run(["mvn", "-q", "-B", "dependency:copy-dependencies", "-DoutputDirectory=libs"], cwd=folder)
    texts = [case.written.get("quartz") or quartz_text(case.cron) for case in cases]
    asked = "\n".join(f"{text}|{case.zone}|{case.after}|{COUNT}" for text, case in zip(texts, cases, strict=True))
    told = _java("Quartz.java", asked + "\n", f"{folder}/libs/*")
    return ["refused" if line == "refused" else [int(word) for word in line.split()] for line in told]


def quartz_text(expression: str) -> str:
    """Six fields, one day field `?`, Sunday as 1; both day fields restricted it cannot say, and refuses."""
    fields = expression.split()
    second, minute, hour, day, month, weekday = fields if len(fields) == 6 else ["0", *fields]
    weekday = re.sub(r"(?<![#/\d])[0-7](?!\d)", lambda m: str(int(m[0]) % 7 + 1), weekday)
    if weekday == "*":
        weekday = "?"
    elif day == "*":
        day = "?"
    return f"{second} {minute} {hour} {day} {month} {weekday}"


def versions() -> dict[str, str]:
    """By peer, as the files beside this pin them."""
    pinned = dict(re.findall(r"^(\w+)==([\d.]+)", (HERE / "requirements.in").read_text("utf-8"), re.MULTILINE))
    found = re.search(r"<artifactId>quartz</artifactId>\s*<version>([\d.]+)<", (HERE / "pom.xml").read_text("utf-8"))
    assert found is not None, "pom.xml names Quartz"
    return pinned | {"quartz": found[1]}


def ask() -> None:
    """Run them all, and keep what they say in `answers.json`."""
    cases = read()
    release, resolved = java_time(cases)
    with tempfile.TemporaryDirectory(prefix="horae-hard-cases-") as name:
        folder = Path(name)
        answers = python_peers(cases, folder / "python") | {"quartz": quartz(cases, folder)}
    told = {name: json.dumps(value) for name, value in (("java", release), ("versions", versions()))}
    told["resolved"] = "[\n  " + ",\n  ".join(json.dumps(case) for case in resolved) + "\n]"
    told["answers"] = (
        "{\n  " + ",\n  ".join(f"{json.dumps(who)}: {json.dumps(answers[who])}" for who in table.PEERS) + "\n}"
    )
    lines = [f"{json.dumps(name)}: {text}" for name, text in told.items()]
    table.RECORDED.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def main() -> None:
    """Ask, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recorded", action="store_true", help="ask no peer: take what they said when last run")
    if not parser.parse_args().recorded:
        ask()
    table.write()
    print(table.table())


if __name__ == "__main__":
    main()
