"""What may be asked for, as a client writes it and as it is to be understood.

Slots are reckoned by `tests.simulation.calendar` and, for one-offs, here, with `zoneinfo` alone: never by the product.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from tests.simulation.calendar import Expected, Wish

DAY = timedelta(days=1)
#: So far ahead slots are looked for: further than any that is asked for here.
FAR = 30 * DAY
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Tokyo", "Australia/Lord_Howe")
_DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")


@dataclass(frozen=True)
class Timed:
    """A timing as it was accepted. Of a one-off `once`, of a series `wish`."""

    sent: dict[str, Any] = field(repr=False)
    once: Expected | None = None
    wish: Wish | None = None
    #: When the series began to count: a moment of acceptance, which is no slot itself.
    anchor: datetime | None = None
    count: int | None = None
    #: The last date in its zone on which it has slots.
    ends: date | None = None

    @property
    def recurring(self) -> bool:
        return self.wish is not None

    def slots(self, after: datetime, until: datetime) -> list[Expected]:
        """Those due later than `after`, up to `until`, in order. `until` must not lie years ahead."""
        if self.wish is None:
            assert self.once is not None
            return [self.once] if after < self.once.due_at <= until else []
        start = self.wish.start
        begins = self.anchor if start is None else start.replace(tzinfo=ZoneInfo(self.wish.zone)) - timedelta(seconds=1)
        assert begins is not None
        if self.count is None:
            found = self.wish.slots(max(after, begins), until)
        else:
            found = [slot for slot in self.wish.slots(begins, until)[: self.count] if slot.due_at > after]
        return [slot for slot in found if self.ends is None or slot.local.date() <= self.ends]

    def ended(self, now: datetime, exceptions: Collection[tuple[datetime, int]] = ()) -> bool:
        """Does nothing come of it any more? Not so of a one-off, however late."""
        coming = self.slots(now, now + FAR)
        return self.recurring and all((slot.local, slot.fold) in exceptions for slot in coming)

    def same_rule(self, other: Timed) -> bool:
        """Do both name the same slots, however far they reach and whatever becomes of them?"""
        return self.recurring and other.recurring and _rule(self.sent) == _rule(other.sent)


_RULE = ("cron", "rrule", "interval", "zone", "starts_at")


def _rule(sent: dict[str, Any]) -> list[Any]:
    return [sent.get(name) for name in _RULE]


@dataclass(frozen=True)
class Ask:
    """What a client has in mind before it looks at the clock; `read` says what that comes to at an instant."""

    kind: Literal["now", "in", "at", "local", "tomorrow", "hours", "daily", "weekly", "minutes", "interval"]
    zone: str = "UTC"
    #: in, at, hours: how far ahead. minutes, interval: how far apart.
    minutes: int = 60
    #: local: so many days ahead.
    days: int = 1
    at: time = time(9)
    weekdays: frozenset[int] = frozenset(range(7))
    gap: Literal["shift", "skip"] = "shift"
    overlap: Literal["first", "second", "both"] = "first"
    count: int | None = None
    ends_in: int | None = None
    as_rrule: bool = False

    def read(self, now: datetime) -> Timed:
        """At the instant `now`, aware UTC."""
        later = now + timedelta(minutes=self.minutes)
        today = now.astimezone(ZoneInfo(self.zone)).date()
        match self.kind:
            case "now":
                return Timed({"kind": "now"}, once=_shown(now, "UTC"))
            case "in":
                return Timed({"kind": "in", "delay": f"PT{self.minutes}M"}, once=_shown(later, "UTC"))
            case "at":
                return Timed({"kind": "at", "at": later.isoformat()}, once=_shown(later, "UTC"))
            case "local":
                local = datetime.combine(today + self.days * DAY, self.at)
                sent = {"kind": "at", "local": local.isoformat(), "zone": self.zone}
                return Timed(sent, once=_there(local, self.zone))
            case "tomorrow":
                sent = {"kind": "phrase", "text": f"tomorrow at {self.at:%I:%M %p}", "zone": self.zone}
                return Timed(sent, once=_there(datetime.combine(today + DAY, self.at), self.zone))
            case "hours":
                hours = 1 + self.minutes // 60
                sent = {"kind": "phrase", "text": f"in {hours} hours", "zone": self.zone}
                return Timed(sent, once=_shown(now + timedelta(hours=hours), self.zone))
            case _:
                return self._series(now, today)

    def _series(self, now: datetime, today: date) -> Timed:
        sent: dict[str, Any] = {"kind": "every", "zone": self.zone}
        wish = Wish(kind="daily", zone=self.zone, at=self.at, gap=self.gap, overlap=self.overlap)
        match self.kind:
            case "minutes":
                wish = Wish(kind="minutes", zone=self.zone, minutes=self.minutes)
                hours, minutes = divmod(self.minutes, 60)
                sent["cron"] = f"0 */{hours} * * *" if hours else f"*/{minutes} * * * *"
            case "interval":
                wish = Wish(
                    kind="interval", zone=self.zone, minutes=self.minutes, start=datetime.combine(today, time())
                )
                sent |= {"interval": {"unit": "minutes", "count": self.minutes}, "starts_at": today.isoformat()}
            case _:
                weekly = self.kind == "weekly"
                if weekly:
                    wish = replace(wish, weekdays=self.weekdays)
                sent |= {"gap": self.gap, "overlap": self.overlap}
                if self.as_rrule:
                    clock = f"BYHOUR={self.at.hour};BYMINUTE={self.at.minute};BYSECOND=0"
                    days = ",".join(_DAYS[day] for day in sorted(self.weekdays))
                    sent["rrule"] = f"FREQ=WEEKLY;BYDAY={days};{clock}" if weekly else f"FREQ=DAILY;{clock}"
                else:
                    days = ",".join(str((day + 1) % 7) for day in sorted(self.weekdays)) if weekly else "*"
                    sent["cron"] = f"{self.at.minute} {self.at.hour} * * {days}"
        ends = None if self.ends_in is None else today + self.ends_in * DAY
        sent |= {} if ends is None else {"ends_at": ends.isoformat()}
        sent |= {} if self.count is None else {"count": self.count}
        return Timed(sent, wish=wish, anchor=now.replace(microsecond=0), count=self.count, ends=ends)


def _shown(instant: datetime, zone: str) -> Expected:
    """A one-off at an instant: its slot is what the clock shows then."""
    local = instant.astimezone(ZoneInfo(zone))
    return Expected(instant, local.replace(tzinfo=None, fold=0), local.fold)


def _there(local: datetime, zone: str) -> Expected:
    """A one-off at a local time: through a gap it is moved on, of an overlap the first."""
    return Expected(local.replace(tzinfo=ZoneInfo(zone), fold=0).astimezone(UTC), local, 0)


#: Times of day around those at which clocks change, and ordinary ones.
_TIMES = st.sampled_from((time(0), time(1, 30), time(2), time(2, 30), time(3), time(9), time(17, 45)))
_ZONES = st.sampled_from(ZONES)
_AHEAD = st.integers(1, 2_000)

ONE_OFFS = st.one_of(
    st.just(Ask("now")),
    st.builds(Ask, st.sampled_from(("in", "at")), minutes=_AHEAD),
    st.builds(Ask, st.just("hours"), zone=_ZONES, minutes=_AHEAD),
    st.builds(Ask, st.just("local"), zone=_ZONES, days=st.integers(1, 3), at=_TIMES),
    st.builds(Ask, st.just("tomorrow"), zone=_ZONES, at=_TIMES),
)
_ENDS = st.one_of(st.none(), st.none(), st.integers(1, 4))
_COUNTS = st.one_of(st.none(), st.none(), st.integers(1, 4))
_DAILY = {
    "zone": _ZONES,
    "at": _TIMES,
    "gap": st.sampled_from(("shift", "skip")),
    "overlap": st.sampled_from(("first", "second", "both")),
    "ends_in": _ENDS,
    "count": _COUNTS,
    "as_rrule": st.booleans(),
}
_ENDING = {"zone": _ZONES, "ends_in": _ENDS, "count": _COUNTS}
SERIES = st.one_of(
    st.builds(Ask, st.just("daily"), **_DAILY),
    st.builds(Ask, st.just("weekly"), weekdays=st.frozensets(st.integers(0, 6), min_size=1, max_size=4), **_DAILY),
    st.builds(Ask, st.just("minutes"), minutes=st.sampled_from((30, 180, 360)), **_ENDING),
    st.builds(Ask, st.just("interval"), minutes=st.sampled_from((90, 7 * 60)), **_ENDING),
)
ASKS = st.one_of(ONE_OFFS, SERIES)
