"""What a client may ask about conflicts, and what was decided."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from horae.domain.envelope import Value
from horae.domain.errors import Conflict
from horae.domain.timing import Duration, Slot
from horae.domain.timing.values import Instant

Strategy = Literal["allow", "reject", "shift", "merge", "highest_priority"]
Action = Literal["none", "allowed", "rejected", "shifted", "merged", "kept", "given_way", "partly_given_way"]

MAX_WINDOW = timedelta(days=7)
MAX_SHIFT = timedelta(days=30)
#: So many of the other schedules are named; `others` counts them all.
NAMED = 20

KeyName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,63}$")]


class ConflictPolicy(Value):
    """What becomes of a schedule whose slots come too close to those of others."""

    strategy: Strategy = Field(
        description="`allow`: only tell · `reject`: 409 with the others' ids · `shift`: all of it goes out later, by "
        "the shortest time that is free · `merge`: its content joins that of the other one, which goes out alone · "
        "`highest_priority`: of two slots that meet, the one of higher priority goes out, of equal ones the older.",
        examples=["shift"],
    )
    window: Duration = Field(
        default=timedelta(hours=1),
        description="Two slots meet when less than this lies between them; more than zero, at most P7D.",
        examples=["PT1H"],
    )
    key: KeyName | None = Field(
        default=None,
        description="Look at schedules that name the same key, whoever gets them, instead of all of the recipient's. "
        "A name of yours for what must not collide (a room, an order), not a person's.",
        examples=["order-4711"],
    )
    max_shift: Duration = Field(
        default=timedelta(days=1),
        description="`shift` moves it by no more than this; if nothing is free until then, it rejects. At most P30D.",
        examples=["P1D"],
    )


class Against(Value):
    """The first meeting with one other schedule."""

    schedule: UUID = Field(description="The other one.")
    slot: Slot = Field(description="The slot that was asked for.")
    due_at: Instant = Field(description="When that one would have gone out.")
    other_slot: Slot = Field(description="The other's slot.")
    other_due_at: Instant = Field(description="When that one goes out.")
    priority: int = Field(description="The other's.", examples=[2])


class GivenUp(Value):
    """A slot of another schedule that is not sent, in favour of this one's."""

    schedule: UUID
    slot: Slot


class Settlement(Value):
    """How the schedule stood among the others when it was asked for, and what was decided."""

    strategy: Strategy
    action: Action = Field(
        description="`none`: it meets nobody · `allowed`: it does, and stays · `shifted` by `shifted_by` · `merged` "
        "into `into` · of the priorities: `kept` (the others' slots are `given_up`), `given_way` (it is cancelled), "
        "`partly_given_way` (its slots in `skipped` are) · `rejected`: only in previews",
        examples=["shifted"],
    )
    window: Duration
    position: int = Field(description="What was written up to this position of the log was looked at.")
    checked_until: Instant | None = Field(
        default=None, description="Up to this instant slots were compared; later ones may meet. null: all were."
    )
    others: int = Field(default=0, description="How many schedules it meets.")
    against: tuple[Against, ...] = Field(default=(), description=f"The first meeting with each, at most {NAMED}.")
    shifted_by: Duration | None = None
    into: UUID | None = Field(default=None, description="The schedule that its content was added to.")
    skipped: tuple[Slot, ...] = Field(default=(), description="Its own slots that are not sent.")
    given_up: tuple[GivenUp, ...] = Field(default=(), description="Others' slots that are not sent.")
    why: str | None = Field(default=None, description="Why the strategy could not be followed, where it was rejected.")

    @property
    def follow_ups(self) -> int:
        """How many events of the schedule's own follow the one that holds this."""
        return 1 if self.action in ("merged", "given_way") else len(self.skipped)


class ScheduleConflict(Conflict):
    """The schedule would meet others, and its policy says to refuse it then. Nothing was stored."""

    code = "schedule_conflict"

    def __init__(self, settlement: Settlement, field: str = "timing") -> None:
        """`settlement` says against which schedules."""
        first = settlement.against[0]
        many = f"{settlement.others} other schedules" if settlement.others > 1 else "another schedule"
        super().__init__(
            f"It would go out at {first.due_at:%Y-%m-%dT%H:%M:%SZ}, less than the window away from {many}: "
            f"{settlement.why or 'the strategy is to reject'}.",
            field=field,
            value=str(first.schedule),
            hint="Choose another time or a shorter window, or let it `shift`.",
        )
        self.settlement = settlement

    @property
    def conflicts(self) -> Sequence[dict[str, Any]]:
        """The meetings, as members of the answer."""
        return [each.model_dump(mode="json") for each in self.settlement.against]
