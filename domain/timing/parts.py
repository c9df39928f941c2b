"""A series that was changed from one of its slots on: which of its rules a slot belongs to, and where each is walked.

Place in the flow: `planning` walks the parts one after the other, `slots` the slots of each. A part's end is a slot and
is compared on that part's own clock, so that a slot belongs to one part for ever, whatever clock changes, calendars and
jitter make of its instant. Nearly every series has one part.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from horae.domain import errors
from horae.domain.timing.calendared import calendar_id
from horae.domain.timing.values import Context, Every, Slot, Then, Timing, ZoneSource
from horae.domain.timing.zones import resolve_zone, to_utc

_TICK = timedelta(microseconds=1)
_ONE_DAY = timedelta(days=1)
#: A series is changed from a slot on at most so often; what lies behind the present does not count.
MAX_PARTS = 20


class _Source(Protocol):
    def nominal(self, local: datetime, fold: int) -> datetime: ...


@dataclass(frozen=True, slots=True)
class Part:
    """A rule with the zone that it is read in, from `since` (None: its own beginning) to before `until`."""

    rule: Every
    zone: str
    zone_source: ZoneSource
    since: Slot | None
    until: Slot | None
    #: Its slots lie after this instant, too (naive UTC): those of the part before, in another zone, may be later.
    after: datetime | None = None

    def is_before_end(self, slot: Slot) -> bool:
        """Does the slot, on this part's clock, lie before where the next part takes over?"""
        return self.until is None or self._instant(slot) < self._instant(self.until)

    def is_over(self, slot: Slot, due: datetime, source: _Source) -> bool:
        """Need nothing of this part be looked for behind a slot that goes out at `due` (naive UTC)?

        A calendar may turn round the order of slots that fall into one closure, by less than a day: that on which the
        slot where the next part takes over would go out.
        """
        if self.until is None or self.is_before_end(slot):
            return False
        if self.rule.calendar is None:
            return True
        return due > max(self._instant(self.until), source.nominal(self.until.local, self.until.fold)) + _ONE_DAY

    @property
    def is_moved(self) -> bool:
        """May a calendar let its slots go out behind those of the next part, or before those of the one before?"""
        kept = self.rule.calendar
        return kept is not None and kept.restricts and kept.move != "drop"

    def floor(self, source: _Source, before: Part | None) -> datetime:
        """An instant (naive UTC) after which all of its slots lie."""
        assert self.since is not None
        floor = source.nominal(self.since.local, self.since.fold) - _TICK
        same_order = before is not None and before.zone == self.zone and self.rule.calendar is None
        floor = floor if same_order else floor - _ONE_DAY
        return floor if self.after is None else max(floor, self.after)

    def _instant(self, slot: Slot) -> datetime:
        return to_utc(slot.local, slot.fold, self.zone)


def parts_of(every: Every, ctx: Context) -> list[Part]:
    """The parts, in order."""
    found: list[Part] = []
    begun: Then | None = None
    for rule in rules_of(every):
        zone, source = resolve_zone(rule.zone, ctx)
        since = begun.since if begun is not None else None
        after = begun.after.replace(tzinfo=None) if begun is not None and begun.after is not None else None
        begun = rule.then
        found.append(Part(rule, zone, source, since, begun.since if begun is not None else None, after))
    return found


def place_of(parts: list[Part], slot: Slot) -> int:
    """The index of the part that the slot belongs to, whether or not its rule names it."""
    return next((at for at, part in enumerate(parts) if part.is_before_end(slot)), len(parts) - 1)


def rule_for(every: Every, slot: Slot, ctx: Context) -> Every:
    """The rule that a slot belongs to, with the bounds, jitter and policy for missed slots that hold for it."""
    if every.then is None:
        return every
    parts = parts_of(every, ctx)
    return parts[place_of(parts, slot)].rule


def present(every: Every, ctx: Context) -> Part:
    """The part that holds at `ctx.now`."""
    now = ctx.now.astimezone(UTC).replace(tzinfo=None)
    parts = parts_of(every, ctx)
    return next((part for part in parts if part.until is None or now < part._instant(part.until)), parts[-1])


def rules_of(every: Every) -> list[Every]:
    """The rules of all parts; those of one that was never changed from a slot on: itself."""
    rules = [every]
    while (then := rules[-1].then) is not None:
        rules.append(then.timing)
    return rules


def cut(every: Every, since: Slot, rule: Every, ctx: Context, after: datetime | None = None) -> Every:
    """`every`, which goes on with `rule` from `since` on; parts that began there or later are gone.

    `after`: see `Then`.
    """
    then = every.then
    if then is not None and parts_of(every, ctx)[0].is_before_end(since):
        then = None
    if then is None or then.since == since:
        return every.model_copy(update={"then": Then(since=since, timing=rule, after=after)})
    rest = cut(then.timing, since, rule, ctx, after)
    return every.model_copy(update={"then": then.model_copy(update={"timing": rest})})


def shifted(timing: Timing, by: timedelta | None, since: Slot | None = None) -> Timing:
    """The timing with all of its slots later by as much, or on time; with `since` only those of the part from there."""
    if not isinstance(timing, Every) or timing.then is None:
        return timing if timing.shifted_by == by else timing.model_copy(update={"shifted_by": by})
    begins = None if timing.then.since == since else since
    rest = timing.then.model_copy(update={"timing": shifted(timing.then.timing, by, begins)})
    own = timing.shifted_by if since is not None else by
    return timing.model_copy(update={"shifted_by": own, "then": rest})


def without_past(every: Every, ctx: Context) -> Every:
    """`every` without the parts that lie wholly behind `ctx.now`."""
    return present(every, ctx).rule


def check_parts(every: Every) -> None:
    """Refuse more parts than are walked, and parts on different calendars. Raises `errors.Invalid`."""
    rules = rules_of(every)
    if len(rules) > MAX_PARTS:
        raise errors.Invalid(
            f"The series is changed from a slot on more than {MAX_PARTS - 1} times.",
            field="timing.then",
            value=len(rules) - 1,
            hint="Change all of it, or clone it.",
        )
    alone = (calendar_id(rule.model_copy(update={"then": None})) for rule in rules)
    calendars = {name for name in alone if name is not None}
    if len(calendars) > 1:
        raise errors.Invalid(
            "Parts of a series cannot keep to different calendars.",
            field="timing.then.timing.calendar",
            value=" and ".join(sorted(calendars)),
            hint="Change all of it, or let the series end there and create another.",
        )
