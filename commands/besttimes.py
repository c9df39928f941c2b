"""Timings `best`: what is known of the message and its recipient, put to the learner; or what was set by hand.

Place in the flow: schedules' commands -> *here* -> the learner's port. Choosing goes before deciding: the choice
travels with the command, as `now` does, and the plan keeps it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC
from typing import Any, Protocol

from horae.commands.ports import Ask, Refs, SendTimes
from horae.commands.recipients import Person
from horae.domain import timing as t
from horae.domain.errors import Unavailable
from horae.domain.ids import occurrence_id
from horae.domain.timing.best import stretches, unlearnt
from horae.domain.timing.zones import check_zone, to_local


class Message(Protocol):
    """What is asked to be sent; a draft and a schedule's personal part fit."""

    @property
    def recipient(self) -> str: ...
    @property
    def channel(self) -> str: ...
    @property
    def metadata(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True, slots=True)
class About:
    """A message with the timing to be read, and what is known of its recipient."""

    message: Message
    timing: t.Timing
    person: Person | None


class Chooser:
    """Puts choices into contexts. `send_times` None: nobody learns here."""

    def __init__(self, send_times: SendTimes | None, refs: Refs) -> None:
        self._send_times, self._refs = send_times, refs

    async def chosen(self, tenant: str, wanted: Sequence[tuple[t.Context, About]]) -> list[t.Context]:
        """The contexts, those of timings `best` with their choice; one question to the learner for all."""
        asks = {
            place: self._ask(tenant, context, about, about.timing)
            for place, (context, about) in enumerate(wanted)
            if isinstance(about.timing, t.Best) and about.timing.from_ < about.timing.to
        }
        contexts = [context for context, _ in wanted]
        if not asks:
            return contexts
        by_hand = {place: choice for place, ask in asks.items() if (choice := _override(ask, wanted[place][1]))}
        left = [place for place in asks if place not in by_hand]
        learnt = await self._learnt(tenant, [asks[place] for place in left], contexts)
        for place, choice in [*by_hand.items(), *zip(left, learnt, strict=True)]:
            contexts[place] = replace(contexts[place], choice=choice)
        return contexts

    def _ask(self, tenant: str, context: t.Context, about: About, timing: t.Best) -> Ask:
        if timing.zone != "recipient":
            check_zone(timing.zone, "timing.zone")
        zone, _ = t.zone_of(timing, context)
        local_now, _ = to_local(context.now.astimezone(UTC).replace(tzinfo=None), zone)
        message = about.message
        category = message.metadata.get("type")
        return Ask(
            timing=timing,
            local_now=local_now,
            recipient=message.recipient,
            recipient_ref=self._refs.recipient_ref(tenant, message.recipient),
            segment=about.person.segment if about.person is not None else None,
            occurrence=occurrence_id(context.schedule_id, timing.from_, 0),
            channel=message.channel.partition(":")[0],
            category=category if isinstance(category, str) else None,
        )

    async def _learnt(self, tenant: str, asks: Sequence[Ask], contexts: Sequence[t.Context]) -> list[t.Choice]:
        if not asks:
            return []
        why = "Nobody learns here."
        if self._send_times is not None:
            try:
                return await self._send_times.choose(tenant, asks, contexts[0].now)
            except Unavailable:
                why = "The learner could not be asked."
        return [unlearnt(ask.timing, ask.local_now, why) for ask in asks]


def _override(ask: Ask, about: About) -> t.Choice | None:
    """The time that was set by hand for the recipient, or the nearest to it that the window leaves open."""
    if about.person is None or about.person.best_time is None or not stretches(ask.timing, ask.local_now):
        return None
    timing = ask.timing.model_copy(update={"fallback": about.person.best_time})
    choice = unlearnt(timing, ask.local_now, f"{about.person.best_time} was set by hand for the recipient.")
    return choice.model_copy(update={"level": "override", "confidence": 1.0})
