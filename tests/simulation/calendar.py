"""Which slots a timing has: computed in the plainest way, apart from the product's own engine.

Place in the simulation: the oracle. Minutes are counted one by one and days one by one, with `zoneinfo` alone, over the
stretch of time that a history covers.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

from horae.domain import timing as t

Kind = Literal["interval", "minutes", "daily", "once"]
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, order=True)
class Expected:
    """A slot that ought to be, by its due instant."""

    due_at: datetime
    local: datetime
    fold: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A timing as a client means it, in the few kinds that are computed here."""

    kind: Kind
    zone: str = "UTC"
    #: interval: every so many minutes from `start` (naive local, in `zone`). minutes: whenever the minutes that the
    #: clock shows since its midnight are a multiple of it, which divides an hour or consists of hours.
    minutes: int = 0
    start: datetime | None = None
    #: daily: at this time of the clock.
    at: time | None = None
    #: ... on these days of the week, Monday 0.
    weekdays: frozenset[int] = frozenset(range(7))
    gap: Literal["shift", "skip"] = "shift"
    overlap: Literal["first", "second", "both"] = "first"
    #: once: at this instant.
    instant: datetime | None = None
    policy: Literal["skip", "once", "all"] = "once"
    within: timedelta = timedelta(days=1)

    @property
    def recurring(self) -> bool:
        return self.kind != "once"

    def timing(self) -> t.Timing:
        """The same as the product takes it."""
        missed = t.Missed(policy=self.policy, within=self.within)
        common: dict[str, Any] = {"zone": self.zone, "missed": missed}
        match self.kind:
            case "once":
                return t.At(at=self.instant)
            case "interval":
                return t.Every(interval=t.Interval(unit="minutes", count=self.minutes), starts_at=self.start, **common)
            case "minutes":
                hours, minutes = divmod(self.minutes, 60)
                return t.Every(cron=f"0 */{hours} * * *" if hours else f"*/{minutes} * * * *", **common)
            case "daily":
                assert self.at is not None
                # Cron counts from Sunday.
                days = ",".join(str((day + 1) % 7) for day in sorted(self.weekdays)) if len(self.weekdays) < 7 else "*"
                cron = f"{self.at.minute} {self.at.hour} * * {days}"
                return t.Every(cron=cron, gap=self.gap, overlap=self.overlap, **common)

    def slots(self, after: datetime, until: datetime) -> list[Expected]:
        """Those due later than `after`, up to `until`, in order."""
        zone = ZoneInfo(self.zone)
        match self.kind:
            case "once":
                assert self.instant is not None
                found = [Expected(self.instant, self.instant.replace(tzinfo=None), 0)]
            case "interval":
                assert self.start is not None
                due_at, found = self.start.replace(tzinfo=zone).astimezone(UTC), []
                while due_at <= until:
                    found.append(_at(due_at, zone))
                    due_at += self.minutes * MINUTE
            case "minutes":
                due_at, found = after.replace(second=0, microsecond=0), []
                while due_at <= until:
                    there = due_at.astimezone(zone)
                    if (there.hour * 60 + there.minute) % self.minutes == 0:
                        found.append(_at(due_at, zone))
                    due_at += MINUTE
            case "daily":
                found = self._days(zone, after, until)
        return [slot for slot in sorted(found) if after < slot.due_at <= until]

    def _days(self, zone: ZoneInfo, after: datetime, until: datetime) -> list[Expected]:
        assert self.at is not None
        found, day = [], after.date() - timedelta(days=2)
        while day <= until.date() + timedelta(days=2):
            local = datetime.combine(day, self.at)
            first = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
            second = local.replace(tzinfo=zone, fold=1).astimezone(UTC)
            if day.weekday() not in self.weekdays:
                pass
            elif first == second:
                found.append(Expected(first, local, 0))
            elif first.astimezone(zone).replace(tzinfo=None) != local:
                # No clock shows it: read with the offset of before, it is moved on by the gap's length.
                if self.gap == "shift":
                    found.append(Expected(first, local, 0))
            else:
                if self.overlap in ("first", "both"):
                    found.append(Expected(first, local, 0))
                if self.overlap in ("second", "both"):
                    found.append(Expected(second, local, 1))
            day += timedelta(days=1)
        return found


def _at(due_at: datetime, zone: ZoneInfo) -> Expected:
    local = due_at.astimezone(zone)
    return Expected(due_at, local.replace(tzinfo=None, fold=0), local.fold)
