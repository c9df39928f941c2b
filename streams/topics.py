"""The names of every topic that an installation uses, in one place.

Place in the flow: made from the settings at start (`infra/kafka/topics.py`), handed to whoever produces or consumes.
"""

from __future__ import annotations

from dataclasses import dataclass

from horae.streams.messages import LOG_TOPIC


@dataclass(frozen=True, slots=True)
class Topics:
    """Full names, prefix included."""

    #: Every event, for our own workers.
    log: str
    #: What happens to schedules, for everybody.
    schedules: str
    #: What happens to occurrences, for everybody.
    executions: str
    #: Commands that others send us.
    commands: str
    #: What became of them.
    replies: str
    #: Commands that could not be read or carried out.
    dead: str
    #: Releases of notifications whose channel names no topic of its own.
    due: str
    #: What recipients did, for the learner; others send it.
    engagement: str
    #: Reports of it that were refused.
    dead_engagement: str

    @classmethod
    def named(
        cls, prefix: str = "", schedules: str = "notification-schedules", executions: str = "schedule-executions"
    ) -> Topics:
        """The names under `prefix`; the public copies' own names can be chosen."""
        return cls(
            log=prefix + LOG_TOPIC,
            schedules=prefix + schedules,
            executions=prefix + executions,
            commands=prefix + "schedule-commands",
            replies=prefix + "schedule-command-replies",
            dead=prefix + "schedule-commands-dead",
            due=prefix + "notifications-due",
            engagement=prefix + "engagement-events",
            dead_engagement=prefix + "engagement-events-dead",
        )

    def all(self) -> tuple[str, ...]:
        """Every name, in the order above."""
        return (
            self.log,
            self.schedules,
            self.executions,
            self.commands,
            self.replies,
            self.dead,
            self.due,
            self.engagement,
            self.dead_engagement,
        )
