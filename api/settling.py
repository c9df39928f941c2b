"""What was decided among other schedules, in sentences for `explain`."""

from __future__ import annotations

from horae.domain import conflicts as c
from horae.domain import timing as t


def among_others(settled: c.Settlement | None) -> str:
    """What the settlement says, with a space before it; nothing where nobody asked."""
    if settled is None:
        return ""
    window = t.format_duration(settled.window)
    looked = f"as of position {settled.position}"
    if settled.action == "none":
        return f" No other schedule goes out within {window} of it ({looked})."
    first = settled.against[0]
    more = f" and {settled.others - 1} more" if settled.others > 1 else ""
    met = f"meets schedule {first.schedule}{more} within {window} ({looked})"
    return f" At {first.due_at:%Y-%m-%dT%H:%M:%SZ} it {met}: {_done(settled)}."


def _done(settled: c.Settlement) -> str:
    match settled.action:
        case "shifted" if settled.shifted_by is not None:
            return f"it was moved on by {t.format_duration(settled.shifted_by)}"
        case "merged":
            return f"it was merged into schedule {settled.into}"
        case "kept":
            return f"it has the highest priority, and {_slots(len(settled.given_up))} of theirs gave way"
        case "given_way":
            return "it gave way, as its priority is no higher"
        case "partly_given_way":
            ours, theirs = _slots(len(settled.skipped)), _slots(len(settled.given_up))
            return f"by priority, {ours} of its own and {theirs} of theirs gave way"
        case _:
            return "that was allowed"


def _slots(count: int) -> str:
    return f"{count} slot" if count == 1 else f"{count} slots"
