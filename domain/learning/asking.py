"""From windows to moments: the messages of a shard or of a request are decided together, and each gets its choice.

A window is cut into stretches, one per local day; each stretch is a request to `choice.choose`, and of a message's
stretches the one that promises most is taken. Within the chosen quarter of an hour a hash spreads the minutes, so that
an audience with one habit does not arrive in one second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Final

import numpy as np

from horae.domain.learning import dice
from horae.domain.learning.calibration import GAIN, features
from horae.domain.learning.choice import DEFAULT, EVERYBODY, RECIPIENT, SEGMENT, Choices, Requests, Rules, choose
from horae.domain.learning.counts import Counts
from horae.domain.learning.facts import Context
from horae.domain.learning.hours import QUARTERS, Floats
from horae.domain.learning.stored import Model
from horae.domain.timing.best import DEFAULT_HOUR, Best, Choice, Level, midnight, since_midnight, stretches, unlearnt

MINUTE: Final = 4  # purpose of the hash, beside those of `dice`
_EPOCH = date(1970, 1, 1).toordinal()
_QUARTER = timedelta(minutes=15)
_LEVELS: Final[dict[int, Level]] = {
    DEFAULT: "default", EVERYBODY: "everybody", SEGMENT: "segment", RECIPIENT: "recipient",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Wish:
    """A message to be planned: its window, the naive local `now` there, and the words of recipient and occurrence."""

    timing: Best
    now: datetime
    person: int
    message: int
    channel: int = 0
    category: int = 0


@dataclass(frozen=True, slots=True)
class _Stretch:
    wish: int
    begin: datetime
    end: datetime

    @property
    def day(self) -> int:
        return self.begin.toordinal() - _EPOCH

    @property
    def quarters(self) -> tuple[int, int]:
        day = midnight(self.begin)
        return (self.begin - day) // _QUARTER, -(-(self.end - day) // _QUARTER)


def pick(
    counts: Counts, model: Model, wishes: Sequence[Wish], now: int, rules: Rules, default: str = DEFAULT_HOUR
) -> list[Choice]:
    """A choice for each wish, whose recipient has the same row in `counts`; `now` in seconds."""
    parts = [
        _Stretch(index, begin, end)
        for index, wish in enumerate(wishes)
        for begin, end in stretches(wish.timing, wish.now)
    ]
    found: list[Choice | None] = [None] * len(wishes)
    rules = replace(rules, trust=rules.trust * model.calibration.trust)
    for quarter in {_default_quarter(wish.timing, default) for wish in wishes}:
        mine = [part for part in parts if _default_quarter(wishes[part.wish].timing, default) == quarter]
        if mine:
            _decide(counts, model, wishes, mine, now, replace(rules, default_quarter=quarter), default, found)
    return [
        choice or unlearnt(wish.timing, wish.now, "Nothing of the window is left.", default)
        for wish, choice in zip(wishes, found, strict=True)
    ]


def _default_quarter(timing: Best, default: str) -> int:
    return min(since_midnight(timing.fallback or default) // _QUARTER, QUARTERS - 1)


def _decide(
    counts: Counts,
    model: Model,
    wishes: Sequence[Wish],
    parts: Sequence[_Stretch],
    now: int,
    rules: Rules,
    default: str,
    found: list[Choice | None],
) -> None:
    row = np.array([part.wish for part in parts], dtype=np.int64)
    start, end = (np.array(column, dtype=np.int64) for column in zip(*(part.quarters for part in parts), strict=True))
    asked = Requests(
        row=row,
        day=np.array([part.day for part in parts], dtype=np.int64),
        start=start,
        end=end,
        person=np.array([wishes[part.wish].person for part in parts], dtype=np.uint64),
        message=np.array([wishes[part.wish].message for part in parts], dtype=np.uint64),
    )
    choices = choose(counts, model.priors, asked, now, rules)
    context = Context(
        np.array([wishes[part.wish].channel for part in parts], dtype=np.int64),
        np.array([wishes[part.wish].category for part in parts], dtype=np.int64),
        np.zeros(len(parts), dtype=np.int64),
        *counts.pressure(row, now),
    )
    x = features(choices, context)
    foretold = model.calibration.foretell(x)
    without = x.copy()
    without[:, GAIN] = 0.0
    otherwise = model.calibration.foretell(without)
    known = counts.asked[row].sum(axis=1) + counts.active[row].sum(axis=1) > 0
    minute = (dice.uniform(asked.message, MINUTE) * 15).astype(np.int64)
    for index, wish in enumerate(wishes):
        own = [place for place, part in enumerate(parts) if part.wish == index]
        if not own:
            continue
        best = _best_of(own, parts, choices, wish, default)
        if choices.holdout[best] or (choices.level[best] == DEFAULT and not choices.explored[best]):
            at = unlearnt(wish.timing, wish.now, "", default).at
        else:
            begin = midnight(parts[best].begin) + int(choices.quarter[best]) * _QUARTER
            at = begin + timedelta(minutes=int(minute[best]))
            at = max(parts[best].begin, min(at, parts[best].end - timedelta(minutes=1)))
        chances = (float(foretold[best]), float(otherwise[best]))
        found[index] = _choice(at, choices, best, chances, x[best], model, rules, known=bool(known[best]))


def _best_of(own: list[int], parts: Sequence[_Stretch], choices: Choices, wish: Wish, default: str) -> int:
    """The stretch to take: the most promising; where nobody's habits decide, that of the default time."""
    if all(choices.holdout[place] or choices.level[place] == DEFAULT for place in own):
        at = unlearnt(wish.timing, wish.now, "", default).at
        return next((place for place in own if parts[place].begin <= at < parts[place].end), own[0])
    return max(own, key=lambda place: (float(choices.chance[place]), -place))


def _choice(
    at: datetime,
    choices: Choices,
    place: int,
    chances: tuple[float, float],
    x: Floats,
    model: Model,
    rules: Rules,
    *,
    known: bool,
) -> Choice:
    holdout, explored = bool(choices.holdout[place]), bool(choices.explored[place])
    level = _LEVELS[int(choices.level[place])]
    return Choice(
        at=at,
        level="default" if holdout else level,
        confidence=round(float(choices.confidence[place]), 4),
        propensity=round(float(choices.propensity[place]), 6),
        holdout=holdout,
        explored=explored,
        chance=round(chances[0], 4),
        fallback_chance=round(chances[1], 4),
        model=model.version,
        why=_why(level, rules, holdout=holdout, explored=explored, known=known, fitted=model.version > 0),
        features=tuple(float(f"{value:.7g}") for value in x.tolist()),
    )


def _why(level: Level, rules: Rules, *, holdout: bool, explored: bool, known: bool, fitted: bool) -> str:
    if holdout:
        return f"The recipient is one of the {rules.holdout:.0%} who are never optimised, so that its worth is known."
    if explored:
        return f"It was tried out, to learn about other hours: {rules.explore:.0%} of messages are."
    if level == "recipient":
        return ""
    if not fitted:
        return "No model has been fitted yet."
    if not known:
        return "Nothing is known of the recipient's own habits yet."
    return f"The recipient's own habits are not sure enough: the threshold is {rules.threshold:.0%}."
