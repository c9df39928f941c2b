"""What commands say about schedules that meet others: the policy as it is given, and what the service decided."""

from __future__ import annotations

from typing import Any

import typer

from horae.commands.importing import policy_of
from horae.infra.cli.output import say, table

Conflicts = typer.Option(
    None,
    "--conflicts",
    help="What becomes of it among the recipient's others: reject, shift, … or JSON, as in the API.",
)
_DONE = {
    "none": "It meets no other schedule",
    "allowed": "It meets others, and stays",
    "rejected": "It would be refused",
    "shifted": "It goes out later by {shifted_by}",
    "merged": "It is merged into schedule {into}",
    "kept": "It goes out, and others give way",
    "given_way": "It gives way to others, and does not go out",
    "partly_given_way": "Some of its slots give way to others, some of theirs to it",
}


def policy(text: str | None) -> dict[str, Any]:
    """The field of a body that asks; none where nothing was given. Raises `typer.BadParameter`."""
    if text is None:
        return {}
    try:
        return {"conflicts": policy_of(text)}
    except ValueError as error:
        raise typer.BadParameter(f"--conflicts: {error}") from None


def show_settled(settled: dict[str, Any] | None) -> None:
    """What was decided, and whom it meets; nothing where nobody asked."""
    if settled is None:
        return
    done = _DONE.get(settled["action"], settled["action"]).format_map(settled)
    upto = f", as far as {settled['checked_until']} was looked" if settled.get("checked_until") else ""
    why = f": {settled['why']}" if settled.get("why") else ""
    say(f"Conflicts: {done} (strategy {settled['strategy']}, window {settled['window']}{upto}){why}.", "bold")
    show_meetings(settled["against"])
    if settled["others"] > len(settled["against"]):
        say(f"{settled['others'] - len(settled['against'])} more are not listed.", "dim")


def show_meetings(against: list[dict[str, Any]]) -> None:
    """The first meeting with each of the others."""
    if against:
        rows = [(at["due_at"], at["schedule"], at["other_due_at"], at["priority"]) for at in against]
        table(("would go out", "meets schedule", "which goes out", "priority"), rows)
