"""`horae feed`: addresses at which calendar programs find schedules; opened, listed, rotated and revoked by the API."""

from __future__ import annotations

from typing import Any

import typer

from horae.infra.cli.asking import Told, asks
from horae.infra.cli.client import Api
from horae.infra.cli.output import say, table

_feed = typer.Typer(
    help="Calendar feeds: schedules in calendar programs (needs a key with the scope admin).", no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    """Add the group."""
    app.add_typer(_feed, name="feed")


@_feed.command("list")
@asks
def list_feeds(api: Api) -> Told:
    """List the feeds; their addresses are not stored and cannot be shown."""
    page = api.get("/v1/feeds", limit=500)
    rows = [
        (item["id"], item.get("prefix"), item["label"], item.get("recipient") or "everybody", item["status"])
        for item in page["items"]
    ]
    return Told(page, lambda: table(("id", "begins with", "label", "shows", "status"), rows))


@_feed.command("open")
@asks
def open_feed(
    api: Api,
    label: str = typer.Argument(help="What calendar programs call the calendar."),
    recipient: str | None = typer.Option(None, "--recipient", help="Whose schedules. Default: everybody's"),
) -> Told:
    """Open a feed; its address is shown now and never again."""
    body = {"label": label} | ({"recipient": recipient} if recipient is not None else {})
    return _with_address(api.post("/v1/feeds", body))


@_feed.command()
@asks
def rotate(
    api: Api,
    feed: str = typer.Argument(help="Id of the feed."),
    overlap: str | None = typer.Option(None, "--overlap", help="How long the present address works on. Default: P7D"),
) -> Told:
    """Give a feed another address; the present one works on for the overlap, so that programs can be told."""
    return _with_address(api.post(f"/v1/feeds/{feed}/rotate", {"overlap": overlap} if overlap else {}))


@_feed.command()
@asks
def revoke(
    api: Api,
    feed: str = typer.Argument(help="Id of the feed to end."),
    reason: str | None = typer.Option(None, "--reason", help="Kept in the history."),
) -> Told:
    """End a feed now."""
    answer = api.post(f"/v1/feeds/{feed}/revoke", {"reason": reason} if reason else {})
    return Told(answer, lambda: say(f"{feed} answers no more."))


def _with_address(answer: dict[str, Any]) -> Told:
    def tell() -> None:
        say(f"id   {answer['id']}")
        say(f"url  {answer['url']}")
        say("Keep it now: it is not stored and cannot be shown again. Whoever has it reads the feed.", "yellow")

    return Told(answer, tell)
