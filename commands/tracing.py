"""What traces are made of, without a word of the library that sends them: spans around work, and who caused it.

Place in the flow: request -> command -> event (its envelope keeps the context) -> read models, claim -> release. Off,
the default until an exporter is installed, `span` gives one shared object that does nothing, so that the hot path pays
for one look at a variable. The context is W3C's `traceparent`, and only ever that of a sampled trace: whoever finds one
in an event knows that somebody recorded what came before.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from types import MappingProxyType, TracebackType
from typing import Any, Final, Literal, ParamSpec, Protocol, Self, TypeAlias, TypeVar

import structlog

from horae.domain.schedule import Schedule

P = ParamSpec("P")
T = TypeVar("T")

Attributes: TypeAlias = Mapping[str, str | int | float | bool]
Kind = Literal["internal", "server", "client", "consumer"]

NOTHING: Final[Attributes] = MappingProxyType({})
#: The name that every scheduling span gives its service.
SERVICE: Final = "notification-scheduling"


class Span(Protocol):
    """Work under way. Attributes hold ids and closed words, never anything about a person."""

    @property
    def recording(self) -> bool:
        """Whether anybody will see it; spare yourself the trouble of describing it if not."""
        ...

    def describe(self, attributes: Attributes) -> None:
        """Add facts."""
        ...

    def rename(self, name: str, attributes: Attributes) -> None:
        """It turned out what it is."""
        ...

    def event(self, name: str, data: Attributes = NOTHING) -> None:
        """Something happened at this instant."""
        ...

    def fail(self, kind: str) -> None:
        """It went wrong; `kind` is a closed word or a class, not a message, which may quote what people wrote."""
        ...


class Tracer(Protocol):
    """What an exporter installs. Times are its own affair."""

    def span(
        self, name: str, kind: Kind, attributes: Attributes, parent: str | None, links: Iterable[str]
    ) -> AbstractContextManager[Span]:
        """A span below `parent`, a traceparent, or below the one under way; an exception makes it failed."""
        ...

    def batch(self, name: str, parents: Iterable[str], attributes: Attributes) -> AbstractContextManager[None]:
        """One piece of work for many: a span in each of the traces, all of the same time."""
        ...

    def traceparent(self) -> str | None:
        """Of the span under way; None: there is none, or nobody records it."""
        ...


class _Off:
    """Nobody traces."""

    recording = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        return

    def describe(self, attributes: Attributes) -> None:
        """Nothing."""

    def rename(self, name: str, attributes: Attributes) -> None:
        """Nothing."""

    def event(self, name: str, data: Attributes = NOTHING) -> None:
        """Nothing."""

    def fail(self, kind: str) -> None:
        """Nothing."""


OFF: Final = _Off()
_OFF_BATCH: Final = nullcontext()

_tracer: Tracer | None = None


def install(tracer: Tracer | None) -> None:
    """Trace with this from now on; None: no more. Once per process, by whoever starts it."""
    # Like the standard library's logging: one per process, asked for everywhere.
    global _tracer
    _tracer = tracer


def active() -> bool:
    """Whether anybody traces: worth the trouble of gathering what `span` is to be told."""
    return _tracer is not None


def traceparent() -> str | None:
    """The context of what is under way, to be handed on; None: nobody records it."""
    return None if _tracer is None else _tracer.traceparent()


def trace_id() -> str | None:
    """The trace that is under way, as logs name it."""
    context = traceparent()
    return None if context is None else context[3:35]


def span(
    name: str,
    *,
    kind: Kind = "internal",
    attributes: Attributes = NOTHING,
    parent: str | None = None,
    links: Iterable[str] = (),
) -> AbstractContextManager[Span]:
    """See `Tracer.span`."""
    return OFF if _tracer is None else _tracer.span(name, kind, attributes, parent, links)


def batch(
    name: str, parents: Callable[[], Iterable[str]], attributes: Attributes = NOTHING
) -> AbstractContextManager[None]:
    """See `Tracer.batch`; `parents` is only asked when somebody traces."""
    return _OFF_BATCH if _tracer is None else _tracer.batch(name, parents(), attributes)


def operation(
    name: str, facts: Callable[[Any], Attributes] | None = None
) -> Callable[[Callable[P, Awaitable[T]]], Callable[P, Coroutine[Any, Any, T]]]:
    """A request's command: every call is a span of this name, which `facts` describes by the answer.

    From the answer on the position in the log is in the log lines of the request.
    """
    attributes = tags(name)

    def wrap(handler: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]:
        @wraps(handler)
        async def call(*args: P.args, **kwargs: P.kwargs) -> T:
            if _tracer is None:
                answer = await handler(*args, **kwargs)
            else:
                with _tracer.span(name, "internal", attributes, None, ()) as under_way:
                    answer = await handler(*args, **kwargs)
                    if facts is not None and under_way.recording:
                        under_way.describe(facts(answer))
            position = getattr(answer, "position", None)
            if position is not None:
                structlog.contextvars.bind_contextvars(position=position)
            return answer

        return call

    return wrap


def tags(name: str) -> Attributes:
    """What each span of a scheduling operation says from its start."""
    return {"service.name": SERVICE, "operation.type": name.rpartition(".")[2]}


def schedule_facts(schedule: Schedule) -> Attributes:
    """What a span says of the schedule that it is about. The recipient is only named by the tenant-keyed reference."""
    kind = schedule.personal.metadata.get("type")
    return {
        "schedule.id": str(schedule.id),
        "schedule.type": kind if isinstance(kind, str) else "unknown",
        "schedule.priority": schedule.definition.priority,
        "schedule.timezone": getattr(schedule.timing, "zone", None) or "none",
        "schedule.timing": schedule.timing.kind,
        "user.id": schedule.recipient_ref,
    }


def answer_facts(answer: Any) -> Attributes:
    """The same, of a command's `Answer` about a schedule."""
    return schedule_facts(answer.state)
