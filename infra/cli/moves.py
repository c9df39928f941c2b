"""`horae recipient`: where a recipient lives, what a move of theirs moves of the plans, and taking that back."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import typer

from horae.infra.cli.asking import Told, asks
from horae.infra.cli.client import Api
from horae.infra.cli.output import say, table

_recipient = typer.Typer(help="Recipients: their zone, and what followed it.", no_args_is_help=True)

_WHO = typer.Argument(help="Id of the recipient.")
#: What people may give of a profile; the rest of an answer about it is the service's.
_PROFILE = ("zone", "locale", "attributes", "segment", "best_time")
_KEEP = typer.Option(
    "wall-time", "--keep", help="wall-time: planned slots stay at their time on the clock; instant: at their moment."
)


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(_recipient, name="recipient")


@_recipient.command()
@asks
def zone(
    api: Api,
    recipient: str = _WHO,
    to: str = typer.Argument(help="IANA name, such as Asia/Tokyo."),
    keep: str = _KEEP,
    dry_run: bool = typer.Option(False, "--dry-run", help="Only tell which planned slots it would move."),
) -> Told:
    """Set the zone of a known recipient; the schedules that follow it are planned anew, and the report is kept."""
    if keep not in ("wall-time", "instant"):
        raise typer.BadParameter(f"{keep!r} is neither `wall-time` nor `instant`", param_hint="--keep")
    known = api.get(_path(recipient))
    body = {name: known[name] for name in _PROFILE if known[name] is not None} | {"zone": to}
    answer = api.put(_path(recipient), body, params={"keep": keep.replace("-", "_"), "dry_run": dry_run or None})
    if dry_run:
        return Told(answer, lambda: _tell_moves(f"{len(answer['moves'])} slots would move.", answer["moves"]))
    done = answer["replanned"]
    if done is None:
        return Told(answer, lambda: say("Set; what follows it was not looked at yet: repeat the command.", "yellow"))
    change = f" Kept as change {done['change']}." if done["change"] is not None else ""
    text = (
        f"{recipient} is in {to} now. {done['checked']} schedules follow, {len(done['moved'])} of them moved.{change}"
    )
    return Told(answer, lambda: say(text))


@_recipient.command()
@asks
def report(
    api: Api,
    recipient: str = _WHO,
    change: str | None = typer.Argument(None, help="Which; by default all are listed."),
) -> Told:
    """Show which changes of their zone moved planned slots, or one with each of them."""
    if change is None:
        listed = api.pages(f"{_path(recipient)}/moves")
        head = ("change", "at (UTC)", "from", "to", "keeping", "moved", "undone (UTC)")
        rows = [
            (
                *(c["id"], c["at"], c["zone_before"], c["zone_after"], c["keep"].replace("_", " ")),
                *(sum(c["zones"].values()), c["undone_at"]),
            )
            for c in listed["items"]
        ]
        return Told(listed, lambda: table(head, rows))
    told = api.pages(f"{_path(recipient)}/moves/{change}")
    title = f"From {told['zone_before'] or 'no zone'} to {told['zone_after'] or 'no zone'} at {told['at']}"
    return Told(told, lambda: _tell_moves(f"{title}, keeping {told['keep'].replace('_', ' ')}.", told["items"]))


@_recipient.command()
@asks
def undo(api: Api, recipient: str = _WHO, change: str = typer.Argument(help="Which.")) -> Told:
    """Give them the zone of before, and put back what the change moved and nobody has moved since."""
    done = api.post(f"{_path(recipient)}/moves/{change}/undo")
    text = (
        f"{recipient} is in {done['zone'] or 'no zone'} again. {done['restored']} slots are back, {done['left']} not."
    )
    return Told(done, lambda: say(text))


def _path(recipient: str) -> str:
    return f"/v1/recipients/{quote(recipient, safe='')}"


def _tell_moves(title: str, moves: list[dict[str, Any]]) -> None:
    say(title)
    head = ("schedule", "slot", "planned in", "planned (UTC)", "now (UTC)", "undone")
    rows = [
        (
            *(move["schedule_id"], move["slot"]["local"].replace("T", " "), move["zone"], move["before"]),
            *(move["after"] or "not any more", move.get("left") or ("yes" if move.get("undone") else None)),
        )
        for move in moves
    ]
    if rows:
        table(head, rows)
