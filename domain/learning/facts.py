"""What is learnt from: sent, answered, ignored, active. Machines are no people, and silence counts after a day."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from horae.domain.learning.hours import Bools, Floats, Ints

SENT: Final = 0  # a message went out
ANSWERED: Final = 1  # a person opened, clicked or converted within the window
IGNORED: Final = 2  # the window passed without
ACTIVE: Final = 3  # seen by themselves, without a message

WINDOW_S: Final = 24 * 3600  # the attribution window
MACHINE_S: Final = 10  # nobody opens a message that fast: a gateway looks for viruses


def is_machine(sent_at: Ints, opened_at: Ints, known_proxy: Bools) -> Bools:
    """Opened by a machine: a proxy that says so, or within `MACHINE_S` seconds. Marked and left out of learning."""
    result: Bools = known_proxy | (opened_at - sent_at < MACHINE_S)
    return result


@dataclass(frozen=True, slots=True)
class Facts:
    """Columns of facts in the order of their positions.

    `row` is the recipient's row in the shard, `at` the instant learnt about in seconds (of a message: when it was sent,
    whenever the answer came), `bin` its local hour by the zone of that instant. `position` is the event's in the log.
    """

    position: Ints
    row: Ints
    kind: NDArray[np.int64]
    at: Ints
    bin: Ints

    def __len__(self) -> int:
        return len(self.row)

    def after(self, position: int) -> Self:
        """Those not yet applied at `position`."""
        return self if not len(self) or self.position[0] > position else self.where(self.position > position)

    def where(self, mask: Bools | Ints) -> Self:
        """Some of them."""
        return type(self)(*(getattr(self, f.name)[mask] for f in fields(self)))


@dataclass(frozen=True, slots=True)
class Context:
    """What is known when a message is planned, besides the hour: small codes, and hours and numbers of messages."""

    channel: Ints
    category: Ints
    device: Ints
    since_answer_h: Floats  # hours since the last answer; a large number for never
    sent_day: Floats  # messages in the last 24 hours
    sent_week: Floats  # and in the last seven days
