"""Has the world changed? ADWIN over what came less what was foretold, one detector per segment.

ADWIN (Bifet and Gavaldà, 2007) keeps a window of residuals and cuts it where two parts differ by more than chance
allows. river's implementation, imported when a watch is made: that takes a second, for which nobody else should wait.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from horae.domain.learning.hours import Floats, Ints

DELTA: Final = 0.002  # chance of a false alarm at a cut


@dataclass(frozen=True, slots=True)
class Alarm:
    """The residuals of `segment` changed, seen at the message at `position` of the log."""

    segment: int
    position: int


class Watch:
    """Detectors for `segments`; a fold over residuals in the order of the log."""

    def __init__(self, segments: int, delta: float = DELTA) -> None:
        from river.drift import ADWIN

        self._detectors: list[Any] = [ADWIN(delta=delta) for _ in range(segments)]  # type: ignore[no-untyped-call]

    def learn(self, position: Ints, segment: Ints, residual: Floats) -> list[Alarm]:
        """Take in residuals (answered less foretold) and say where they changed."""
        alarms = []
        for at, which, value in zip(position.tolist(), segment.tolist(), residual.tolist(), strict=True):
            self._detectors[which].update(value)
            if self._detectors[which].drift_detected:
                alarms.append(Alarm(which, at))
        return alarms
