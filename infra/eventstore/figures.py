"""What the writer counts, for Prometheus: how many commands share a commit, and what one costs.

Place in the flow: writer thread -> *here* -> the process's registry.
"""

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Gauge, Histogram

from horae.commands.ports import Lane

_SIZES = (1, 2, 5, 10, 25, 50, 100, 250, 500)
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)


class CommitFigures:
    """One per writer. `waiting` is asked when somebody looks."""

    def __init__(self, registry: CollectorRegistry, waiting: Callable[[], Mapping[Lane, int]]) -> None:
        self._commands = Histogram(
            "horae_commit_commands", "Commands that shared one commit.", buckets=_SIZES, registry=registry
        )
        self._events = Histogram(
            "horae_commit_events", "Events stored by one commit.", buckets=_SIZES, registry=registry
        )
        self._seconds = Histogram(
            "horae_commit_seconds",
            "Duration of one commit, waiting for a database that is away included.",
            buckets=_SECONDS,
            registry=registry,
        )
        queued = Gauge("horae_commit_queue_events", "Events that wait to be stored.", ("lane",), registry=registry)
        queued.labels("fast").set_function(lambda: waiting()["fast"])
        queued.labels("bulk").set_function(lambda: waiting()["bulk"])

    def committed(self, commands: int, events: int, seconds: float) -> None:
        """A commit is done, or given up."""
        self._commands.observe(commands)
        self._events.observe(events)
        self._seconds.observe(seconds)
