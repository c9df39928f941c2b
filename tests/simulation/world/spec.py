"""Which worlds there are, and every number that makes one: strong, weak, none, drift, cold start."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

ZONES: Final = ("Europe/Berlin", "America/New_York", "Asia/Tokyo", "Asia/Kolkata", "America/Sao_Paulo")
FIRST_DAY: Final = "2026-02-02"  # a Monday; New York's and Berlin's clocks change within the run
WINDOW: Final = (6 * 60, 23 * 60)  # local minutes of the day in which a message may go out
STEP_MIN: Final = 15  # moments are offered, and the oracle searches, in quarters of an hour

KINDS: Final = ("unimodal", "bimodal", "shifts", "walker", "inbox", "flat")
SHARE_OF_KIND: Final = (0.45, 0.15, 0.10, 0.10, 0.15, 0.05)

# Centres in local hours: (main, second). The second is used by the bimodal, and on "shift" days.
ARCHETYPES: Final = (
    ("early", 6.8, 19.0),
    ("commuter", 7.8, 18.0),
    ("office", 10.5, 15.0),
    ("lunch", 12.7, 20.5),
    ("evening", 19.5, 8.5),
    ("night", 22.0, 13.0),
)
# A segment is what one can know of a person: half of it is its main archetype, the rest anybody.
MAIN_ARCHETYPE_OF_SEGMENT: Final = (1, 2, 3, 4, 5)
SHARE_OF_MAIN: Final = 0.5


@dataclass(frozen=True, slots=True)
class WorldSpec:
    """One world. Probabilities are per person or per message, hours are local, days count from `FIRST_DAY`.

    `amplitude` A makes the chance at the worst hour (1 - A) of that at the best. During the first `history_days`
    the house sends at hours of its own choosing; after them the judged days begin.
    """

    name: str
    amplitude: float
    people: int = 1500
    history_days: int = 28
    judged_days: int = 84
    sends_per_day: float = 0.6
    with_activity: bool = True
    joining: float = 0.0  # this share joins during the judged days, the rest is there from the start
    drift_after: int | None = None  # judged days until half of the people shift
    drift_hours: float = 3.0

    base_alpha: float = 3.0  # chance at a person's best hour ~ Beta(alpha, beta)
    base_beta: float = 7.0
    offset_sd: float = 1.2  # a person's own distance from the archetype
    concentration: tuple[float, float] = (2.0, 6.0)  # of the von Mises bumps; 4 is a standard deviation of 1.9 hours
    inbox_tail: tuple[float, float] = (2.0, 4.0)  # hours for which a message stays near the top
    walk_sd: float = 0.35  # hours a day
    weekend_shift: float = 3.0  # uniform from 0 to this
    weekend_level: float = 0.9
    category_levels: tuple[float, ...] = (1.0, 0.8)
    category_morning: tuple[float, ...] = (0.0, 0.3)  # how much better the second kind does in the morning

    activity_per_day: float = 1.5
    activity_noise: float = 0.25  # share of activity that follows the day and not the habit
    activity_shift: float = 1.0  # uniform from - this to + this, between looking around and answering

    median_delay_min: float = 12.0
    delay_sigma: float = 1.2
    slow: float = 0.05  # answers that come after an exponential wait of 20 hours: some fall out of any window
    lost: float = 0.03  # answers that nobody reports
    gateways: float = 0.08  # people whose mail is opened by a machine within seconds; every other one says so
    prefetch: float = 0.04  # people whose mail is fetched within two hours by a known proxy
    travellers: float = 0.05  # one journey of 7 to 14 days each; of four in five the new zone becomes known
    tired_day: float = 0.15
    tired_week: float = 0.04


STRONG: Final = WorldSpec("strong", amplitude=0.85)
STRONG_SILENT: Final = replace(STRONG, name="strong, no activity", with_activity=False)
WEAK: Final = WorldSpec("weak", amplitude=0.55)
NONE: Final = WorldSpec("none", amplitude=0.0)
NONE_SILENT: Final = replace(NONE, name="none, no activity", with_activity=False)
DRIFT: Final = replace(STRONG, name="drift", drift_after=42)
COLD: Final = replace(STRONG, name="cold start", history_days=0, joining=0.5)

WORLDS: Final = (STRONG, STRONG_SILENT, WEAK, NONE, NONE_SILENT, DRIFT, COLD)
