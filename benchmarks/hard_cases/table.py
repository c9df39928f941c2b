"""The table of docs/time.md: what each answers to the hard cases, judged by the right answers.

`answers.json` beside this holds what java.time and the peers answered when they were last run (`make hard-cases`); what
Horae answers is asked anew, so that a test can tell whether the page is still true, without any network.
"""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from benchmarks.hard_cases.cases import COUNT, Case, Resolved, policies, read, right
from horae.domain import errors
from horae.domain import timing as t

Answer = list[int] | str
"""Instants in epoch seconds, or `refused`, or `stalls`."""

RECORDED = Path(__file__).parent / "answers.json"
DOCS = Path(__file__).parents[2] / "docs" / "time.md"
BEGIN, END = "<!-- hard cases: begin -->", "<!-- hard cases: end -->"
#: Who is asked, in the table's order; as in `written` and `lacks` of the cases.
PEERS = {"croniter": "croniter", "apscheduler": "APScheduler", "cronsim": "cronsim", "quartz": "Quartz"}
KINDS = ("right", "policy", "unsupported", "wrong")


def recorded() -> dict[str, Any]:
    """`java`: release; `versions` by peer; `resolved` per case and reading; `answers` by peer, one per case."""
    found: dict[str, Any] = json.loads(RECORDED.read_text(encoding="utf-8"))
    found["resolved"] = [[[Resolved(*at) for at in times] for times in case] for case in found["resolved"]]
    return found


def horae(case: Case) -> Answer:
    """Our slots, by the default policies."""
    at = datetime.fromtimestamp(case.after, UTC)
    try:
        shown = t.preview(t.Every(cron=case.cron, zone=case.zone), COUNT, t.Context(at, UUID(int=17)))
    except errors.Invalid:
        return "refused"
    return [round(slot.due_at.timestamp()) for slot in shown.slots]


def judged(case: Case, who: str, answer: Answer, resolved: list[list[Resolved]]) -> tuple[str, str]:
    """Which of `KINDS` an answer is, and what the table says of it."""
    wanted = right(case, resolved)
    if answer == wanted or (not wanted and answer == "refused"):
        return "right", "right"
    if answer == "refused":
        if who in case.lacks:
            return "unsupported", "unsupported"
        return "wrong", "**refused**"
    if isinstance(answer, str):
        return "wrong", f"**{answer}**"
    for name, other in policies(case, resolved).items():
        if answer == other:
            return "policy", name
    i = next((i for i, instant in enumerate(answer) if i >= len(wanted) or instant != wanted[i]), len(answer))
    return "wrong", f"**wrong**: {shown(answer[i : i + 1]) or 'ends'}"


def shown(instants: list[int]) -> str:
    """`2027-03-28 01:30Z, 03-29 00:30Z`: what is as in the instant before is left out."""
    found: list[str] = []
    before = None
    for instant in instants:
        at = datetime.fromtimestamp(instant, UTC)
        day = at.strftime("%Y-%m-%d ") if before is None or before.year != at.year else at.strftime("%m-%d ")
        if before is not None and before.date() == at.date():
            day = ""
        found.append(f"{day}{at:%H:%M}{at.strftime(':%S') if at.second else ''}Z")
        before = at
    return ", ".join(found)


def table() -> str:
    """Markdown: each case with its right answer, and what Horae says now and the peers said when they were run."""
    cases, facts = read(), recorded()
    answers: dict[str, list[Answer]] = {"horae": [horae(case) for case in cases], **facts["answers"]}
    names = {"horae": "Horae"} | {who: f"{name} {facts['versions'][who]}" for who, name in PEERS.items()}
    head = ["what is hard", "cron, zone", "right, and why", *(names[who] for who in answers)]
    rows = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    counts = {who: Counter[str]() for who in answers}
    for i, case in enumerate(cases):
        resolved = facts["resolved"][i]
        cells = []
        for who, found in answers.items():
            kind, text = judged(case, who, found[i], resolved)
            counts[who][kind] += 1
            cells.append(text)
        wanted = shown(right(case, resolved))
        reason = f"{wanted}: {case.why}" if wanted else case.why
        rows.append("| " + " | ".join([case.what, f"`{case.cron}` {case.zone}", reason, *cells]) + " |")
    for kind in KINDS:
        counted = " | ".join(f"**{counts[who][kind]}**" for who in answers)
        rows.append(f"| {'another policy' if kind == 'policy' else kind}, of {len(cases)} | | | {counted} |")
    return "\n".join(rows)


def on_the_page() -> str:
    """The table as docs/time.md has it."""
    return DOCS.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0].strip()


def write() -> None:
    """Put the table into docs/time.md."""
    page = DOCS.read_text(encoding="utf-8")
    before, after = page.split(BEGIN)[0], page.split(END)[1]
    DOCS.write_text(f"{before}{BEGIN}\n{table()}\n{END}{after}", encoding="utf-8")
