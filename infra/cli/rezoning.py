"""`horae tz status|apply|undo|check|report`: what newer zone data move of an installation's plans, moving it, and back.

For operators, who have the data folder or the DSN: it concerns every tenant. `check` needs neither; `report` asks the
API, and tells what it tells the tenant whose key it has.
"""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import typer

from horae.commands.zonechanges import Survey, Undone
from horae.domain.timing import zonedata
from horae.domain.zonechange import Change, Move
from horae.infra import logging
from horae.infra.cli.asking import Told, asks
from horae.infra.cli.client import Api
from horae.infra.cli.output import say, show_json, table
from horae.infra.settings import Settings, load

_DSN = typer.Option(None, "--dsn", help="Owner's connection URI; else the POSTGRES_ settings.")
_DATA = typer.Option(None, "--data", help="Data folder of an embedded installation.")
_JSON = typer.Option(False, "--json", help="Print as JSON, with every slot.")
_KEEP = typer.Option(
    "wall-time", "--keep", help="wall-time: slots stay at their time on the clock; instant: at their moment."
)

#: Slots that are shown to people; `--json` has them all.
_SHOWN = 50


def add_to(group: typer.Typer) -> None:
    """Add the commands to `horae tz`."""
    group.command()(status)
    group.command()(apply)
    group.command()(undo)
    group.command()(check)
    group.command()(report)


def status(dsn: str | None = _DSN, data: Path | None = _DATA, as_json: bool = _JSON) -> None:
    """Say which planned slots the zone data in use would move, and what was moved before. Changes nothing."""
    from horae.infra.processes import rezoning

    found = asyncio.run(rezoning.status(_settings(dsn, data), embedded=dsn is None))
    if as_json:
        show_json(_in_use() | _surveyed(found.tenants) | {"changes": [_change(*pair) for pair in found.changes]})
        return
    say(f"Zone data {_in_use()['tzdata']}: {_in_use()['origin']}.")
    for version in found.running:
        if version != _in_use()["tzdata"]:
            say(f"The workers plan by {version}: start them anew with this TIMEZONE_DATA_SOURCE.", "yellow")
    _show(found.tenants, "would move")
    if found.changes:
        table(
            ("change", "tenant", "at (UTC)", "to", "keeping", "moved", "undone (UTC)"),
            [
                (
                    c.id,
                    tenant,
                    _utc(c.at),
                    c.version,
                    c.keep.replace("_", " "),
                    sum(n for _, n in c.zones),
                    _utc(c.undone_at),
                )
                for tenant, c in found.changes
            ],
        )


def apply(keep: str = _KEEP, dsn: str | None = _DSN, data: Path | None = _DATA, as_json: bool = _JSON) -> None:
    """Plan anew, by events, what the zone data in use move; the report is shown and kept."""
    if keep not in ("wall-time", "instant"):
        raise typer.BadParameter(f"{keep!r} is neither `wall-time` nor `instant`", param_hint="--keep")
    from horae.infra.processes import rezoning

    wanted: Any = keep.replace("-", "_")
    done = asyncio.run(rezoning.apply(_settings(dsn, data), wanted, embedded=dsn is None))
    if as_json:
        show_json(_in_use() | {"change": done.id, "keep": keep} | _surveyed(done.tenants))
        return
    say(f"Zone data {_in_use()['tzdata']}: {_in_use()['origin']}.")
    _show(done.tenants, "moved" if keep == "wall-time" else "kept their instant, and would have moved")
    if done.id is not None:
        say(f"Kept as change {done.id}; `horae tz undo` takes it back.")


def undo(
    change: UUID | None = typer.Argument(None, help="Which; by default the newest that still stands."),
    dsn: str | None = _DSN,
    data: Path | None = _DATA,
    as_json: bool = _JSON,
) -> None:
    """Put the slots back that a change moved, by events; those that have moved on since stay, and are named."""
    from horae.infra.processes import rezoning

    done = asyncio.run(rezoning.undo(_settings(dsn, data), change, embedded=dsn is None))
    if as_json:
        show_json({"tenants": [_undone(each) for each in done]})
        return
    say(f"Undone: change {done[0].change}. {sum(len(each.restored) for each in done)} slots are back.")
    left = [(each.tenant, id_, why) for each in done for id_, why in each.left.items()]
    if left:
        table(("tenant", "schedule, or occurrence", "stays, because"), left)


def check(
    url: str | None = typer.Option(None, "--url", help="Who knows the newest release; else TIMEZONE_UPDATE_URL."),
    ntp: str | None = typer.Option(None, "--ntp", help="NTP server, host or host:port; else NTP_SERVER."),
    as_json: bool = typer.Option(False, "--json", help="Print as JSON."),
) -> None:
    """Ask whether a newer release of the zone data is out, and an NTP server by how much this clock errs.

    Who cannot be asked is named; leaves with 0 all the same.
    """
    settings = load().settings
    found = asyncio.run(_asked(settings.zone_update_url if url is None else url, ntp or settings.ntp_server))
    if as_json:
        show_json(found)
        return
    if found["outdated"] is not None:
        newest = f"newer is out: {found['newest']}" if found["outdated"] else "none newer is out"
        say(f"Zone data {found['tzdata']}: {newest}.", "yellow" if found["outdated"] else None)
    if (clock := found.get("clock")) is not None:
        say(
            f"The clock of {clock['server']} is ahead of ours by {clock['offset_s']:.4f} s, "
            f"to {clock['round_trip_s'] / 2:.4f} s either way (stratum {clock['stratum']})."
        )
    for reason in found["not_asked"]:
        say(f"Not asked: {reason}.", "yellow")


@asks
def report(
    api: Api,
    change: UUID | None = typer.Argument(None, help="Which; by default all are listed."),
) -> Told:
    """Show which changes of zone data concerned a tenant's slots, or one with each of them; by the tenant's key."""
    if change is None:
        listed = api.get("/v1/zones/changes", limit=500)
        rows = [
            (c["id"], c["at"], c["tzdata"], c["keep"].replace("_", " "), sum(c["zones"].values()), c["undone_at"])
            for c in listed["items"]
        ]
        return Told(listed, lambda: table(("change", "at (UTC)", "to", "keeping", "moved", "undone (UTC)"), rows))
    told = api.pages(f"/v1/zones/changes/{change}")
    head = ("schedule", "slot", "zone", "planned (UTC)", "now (UTC)", "planned by", "undone")
    moves = [
        (
            move["schedule_id"],
            move["slot"]["local"].replace("T", " "),
            move["zone"],
            move["before"],
            move["after"] or "not any more",
            move["tzdata"],
            move["left"] or ("yes" if move["undone"] else None),
        )
        for move in told["items"]
    ]

    def tell() -> None:
        say(f"To zone data {told['tzdata']} at {told['at']}, keeping {told['keep'].replace('_', ' ')}.")
        table(head, moves)

    return Told(told, tell)


async def _asked(url: str, server: str | None) -> dict[str, Any]:
    from horae.infra import ntp
    from horae.infra.watches import CannotTell, is_newer, newest_release

    found: dict[str, Any] = {"tzdata": zonedata.current().version, "newest": None, "outdated": None, "not_asked": []}
    if url:
        try:
            found["newest"] = await newest_release(url)
            found["outdated"] = is_newer(found["newest"], found["tzdata"])
        except CannotTell as error:
            found["not_asked"].append(str(error))
    if server is not None:
        try:
            found["clock"] = dataclasses.asdict(await ntp.ask(server))
        except ntp.NtpError as error:
            found["not_asked"].append(str(error))
    return found


def _settings(dsn: str | None, data: Path | None) -> Settings:
    settings = load({"dsn": dsn, "data": data}).settings
    logging.configure(settings.log_level, settings.log_format, "tz")
    return settings


def _show(surveys: list[Survey], did: str) -> None:
    moves = [(survey.tenant, move) for survey in surveys for move in survey.moves]
    say(f"{sum(s.checked for s in surveys)} slots were planned by other releases; {len(moves)} of them {did}.")
    if not moves:
        return
    rows = [
        (
            tenant,
            move.schedule_id,
            _clock(move.slot.local),
            move.zone,
            _utc(move.before),
            _utc(move.after) or "not any more",
            _shift(move),
            move.tzdata,
        )
        for tenant, move in moves[:_SHOWN]
    ]
    head = ("tenant", "schedule", "slot", "zone", "planned (UTC)", "now (UTC)", "by", "planned by")
    table(head, rows)
    if len(moves) > _SHOWN:
        say(f"... and {len(moves) - _SHOWN} more; --json shows them all.")


def _in_use() -> dict[str, Any]:
    return {"tzdata": zonedata.current().version, "origin": zonedata.current().origin}


def _surveyed(surveys: list[Survey]) -> dict[str, Any]:
    return {
        "checked": sum(survey.checked for survey in surveys),
        "moves": [
            {"tenant": survey.tenant} | move.model_dump(mode="json") for survey in surveys for move in survey.moves
        ],
    }


def _change(tenant: str, change: Change) -> dict[str, Any]:
    return {
        "tenant": tenant,
        "change": change.id,
        "at": change.at.isoformat(),
        "version": change.version,
        "keep": change.keep,
        "checked": change.checked,
        "zones": dict(change.zones),
        "undone_at": change.undone_at.isoformat() if change.undone_at else None,
        "restored": change.restored,
        "left": change.left,
    }


def _undone(done: Undone) -> dict[str, Any]:
    left = {str(id_): why for id_, why in done.left.items()}
    return {"tenant": done.tenant, "change": done.change, "restored": list(done.restored), "left": left}


def _shift(move: Move) -> str | None:
    """By how much it moves: `-1:00`."""
    if move.after is None:
        return None
    by = move.after - move.before
    sign = "-" if by < timedelta(0) else "+"
    days, rest = divmod(int(abs(by).total_seconds()), 86_400)
    shown = f"{sign}{rest // 3600}:{rest // 60 % 60:02}"
    return f"{sign}{days} d {shown[1:]}" if days else shown


def _clock(local: datetime) -> str:
    return local.isoformat(" ")


def _utc(instant: datetime | None) -> str | None:
    return None if instant is None else instant.isoformat(" ", "seconds").removesuffix("+00:00")
