"""`horae list`, `horae explain`, `horae schedule`: asking the running service about schedules, and for one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import typer

from horae.infra.cli.client import Api, ApiKey, AsJson, Data, Url, connect
from horae.infra.cli.meeting import Conflicts, policy, show_settled
from horae.infra.cli.output import say, show_json, table
from horae.infra.problems import Refused


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("list")(list_schedules)
    app.command()(explain)
    app.command()(schedule)


def list_schedules(
    status: str | None = typer.Option(None, "--status", help="Only those that stand so, such as pending."),
    recipient: str | None = typer.Option(None, "--recipient", help="Only this recipient's."),
    tag: str | None = typer.Option(None, "--tag", help="Only those with this tag."),
    limit: int = typer.Option(50, "--limit", "-n", min=1, max=500, help="How many."),
    url: str | None = Url,
    api_key: str | None = ApiKey,
    data: Path | None = Data,
    as_json: bool = AsJson,
) -> None:
    """List schedules, newest first."""
    with connect(url, api_key, data) as api:
        page = api.get("/v1/schedules", status=status, recipient=recipient, tag=tag, limit=limit)
    if as_json:
        show_json(page)
        return
    if not page["items"]:
        say("No schedules.")
        return
    rows = [
        (item["id"], item["status"], item["recipient"], item["channel"], item.get("next_due_at"))
        for item in page["items"]
    ]
    table(("id", "status", "recipient", "channel", "next due"), rows)
    if page.get("next"):
        say(f"There are more: raise --limit (now {limit}) or filter.", "dim")


def explain(
    occurrence: str = typer.Argument(help="Id of an occurrence, or of a schedule (then its latest occurrence)."),
    url: str | None = Url,
    api_key: str | None = ApiKey,
    data: Path | None = Data,
    as_json: bool = AsJson,
) -> None:
    """Say why an occurrence went out when it did, or why it did not."""
    try:
        UUID(occurrence)
    except ValueError:
        raise typer.BadParameter(
            f"{occurrence!r} is no id. Give that of an occurrence or of a schedule, as `horae list` shows it."
        ) from None
    with connect(url, api_key, data) as api:
        answer = _explain(api, occurrence)
    if as_json:
        show_json(answer)
        return
    say(f"{answer['verdict']}", "bold")
    for line in answer["story"]:
        say(line)


def schedule(
    recipient: str = typer.Argument(help="Your own id of the person."),
    timing: str | None = typer.Option(None, "--timing", help="A timing as JSON, as in the API."),
    delay: str | None = typer.Option(None, "--in", help="A delay, such as PT5S."),
    at: str | None = typer.Option(None, "--at", help="An instant with an offset."),
    cron: str | None = typer.Option(None, "--cron", help="Five fields, or six with the second first; with --zone."),
    phrase: str | None = typer.Option(None, "--phrase", help="Words; with --zone."),
    zone: str = typer.Option("recipient", "--zone", help="IANA zone."),
    channel: str = typer.Option("log:", "--channel", help="log: or webhook:URL"),
    content: str = typer.Option("{}", "--content", help="JSON that is handed to the channel."),
    conflicts: str | None = Conflicts,
    key: str | None = typer.Option(None, "--idempotency-key", help="Makes a repeat of this command harmless."),
    url: str | None = Url,
    api_key: str | None = ApiKey,
    data: Path | None = Data,
    as_json: bool = AsJson,
) -> None:
    """Create a schedule."""
    given: dict[str, dict[str, Any] | None] = {
        "--timing": read_json(timing, "--timing") if timing is not None else None,
        "--in": {"kind": "in", "delay": delay, "zone": zone} if delay else None,
        "--at": {"kind": "at", "at": at} if at else None,
        "--cron": {"kind": "every", "cron": cron, "zone": zone} if cron else None,
        "--phrase": {"kind": "phrase", "text": phrase, "zone": zone} if phrase else None,
    }
    chosen = [value for value in given.values() if value is not None]
    if len(chosen) > 1:
        raise typer.BadParameter(f"give only one of {', '.join(given)}")
    body = {
        "recipient": recipient,
        "channel": channel,
        "content": read_json(content, "--content"),
        "timing": chosen[0] if chosen else {"kind": "now"},
    } | policy(conflicts)
    with connect(url, api_key, data) as api:
        answer = api.post("/v1/schedules", body, headers={"Idempotency-Key": key} if key else None)
    if as_json:
        show_json(answer)
        return
    say(f"{answer['id']}  due {answer.get('next_due_at')}")
    show_settled(answer["settled"])


def _explain(api: Api, given: str) -> Any:
    """The explanation of an occurrence; of a schedule, that of its newest occurrence, else of its next slot."""
    try:
        return api.get(f"/v1/occurrences/{given}/explain")
    except Refused as refused:
        if refused.problem.get("code") != "not_found":
            raise
    newest = api.get(f"/v1/schedules/{given}/occurrences", limit=1)["items"]
    if newest:
        return api.get(f"/v1/occurrences/{newest[0]['id']}/explain")
    coming = api.get(f"/v1/schedules/{given}")["next"]
    if coming is None:
        raise Refused("The schedule has neither an occurrence nor a slot to come.", None, {})
    return api.get(f"/v1/schedules/{given}/explain", slot=coming["slot"], fold=coming["fold"])


def read_json(text: str, option: str) -> dict[str, Any]:
    """An option's JSON object."""
    try:
        document = json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"{option} is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise typer.BadParameter(f"{option} must be a JSON object")
    return document
