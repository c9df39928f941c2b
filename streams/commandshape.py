"""What others write to `schedule-commands`, and what they read on `schedule-command-replies`.

Place in the flow: producer -> *command* -> `streams/commanding.py` -> *reply* -> producer. A command says in JSON what
a request says in method, path and headers; its `body` is that request's body, judged by the very same code.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json

Kind = Literal["create", "change", "pause", "resume", "cancel", "trigger", "skip", "unskip"]
Word = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[^\x00]*$")]

#: CloudEvents' types of a reply.
DONE_TYPE, REFUSED_TYPE = "horae.command.done.v1", "horae.command.refused.v1"
#: Those that a version may guard, as If-Match does.
GUARDED = frozenset({"change", "pause", "resume", "cancel"})


class UnreadableCommand(ValueError):
    """A message that is no command. `field`: its path, if one field is the matter; `name`: the command's id, if any."""

    def __init__(self, message: str, field: str | None = None, name: str | None = None) -> None:
        super().__init__(message)
        self.field, self.name = field, name


class Command(BaseModel):
    """One command. The API key stands in the message's headers (`authorization: Bearer KEY`, or `x-api-key`)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Word | None = Field(
        default=None,
        description="Names the reply, and makes a repeat of the command harmless. Absent: the message's place.",
        examples=["order-4711-reminder"],
    )
    command: Kind = Field(description="What to do.", examples=["create"])
    schedule: UUID | None = Field(default=None, description="Which schedule; not with `create`.")
    body: dict[str, Any] = Field(
        default_factory=dict,
        description="As the body of the same request over HTTP.",
        examples=[{"recipient": "user-17", "channel": "log:", "timing": {"kind": "now"}}],
    )
    idempotency_key: Word | None = Field(
        default=None, description="As the header Idempotency-Key, which it is one with. Absent: `id`."
    )
    expect_version: Annotated[int, Field(ge=1, lt=10**9, strict=True)] | None = Field(
        default=None,
        description="As If-Match: only if the schedule is at this version. Of change, pause, resume, cancel.",
    )

    @property
    def method(self) -> str:
        """Of the same request over HTTP."""
        return "PATCH" if self.command == "change" else "POST"

    @property
    def path(self) -> str:
        """Of the same request over HTTP."""
        match self.command:
            case "create":
                return "/v1/schedules"
            case "change":
                return f"/v1/schedules/{self.schedule}"
            case verb:
                return f"/v1/schedules/{self.schedule}/{verb}"


class Done(BaseModel):
    """What came of a command, without anything personal: who sent it knows the rest."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    schedule: UUID
    version: int = Field(description="Of the schedule, to expect in a later command.")
    position: int = Field(description="Place in the log; reading over HTTP, give it as `min_position`.")
    status: str | None = Field(default=None, description="Of the schedule.")
    next_due_at: datetime | None = None
    occurrence: UUID | None = Field(default=None, description="The one that `trigger` asked for.")
    already_claimed: list[UUID] | None = Field(
        default=None, description="Occurrences that it could not reach any more."
    )
    replayed: bool = Field(default=False, description="True: the very command was carried out before.")


class Reply(BaseModel):
    """The answer to one command; its key on the topic is the command's id."""

    model_config = ConfigDict(frozen=True)

    id: str
    command: str | None = Field(default=None, description="What was asked for; null: it could not be read.")
    status: int = Field(description="The status that HTTP would have answered.", examples=[201])
    done: Done | None = None
    problem: dict[str, Any] | None = Field(default=None, description="RFC 9457, when it was not done.")


def read_command(value: bytes | None) -> Command:
    """The command of a message. Raises `UnreadableCommand`."""
    try:
        found = from_json(value or b"", allow_inf_nan=False)
    except ValueError as error:
        raise UnreadableCommand(f"The message is not JSON: {error}.") from None
    if not isinstance(found, dict):
        raise UnreadableCommand("The message is not a JSON object.")
    given = found.get("id")
    name = given if isinstance(given, str) and 1 <= len(given) <= 255 else None
    try:
        command = Command.model_validate(found)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise UnreadableCommand(f"{first['msg']}.", field, name) from None
    if (command.schedule is None) != (command.command == "create"):
        which = "names a schedule, but makes one" if command.schedule else "names no schedule"
        raise UnreadableCommand(f"The command {command.command} {which}.", "schedule", name)
    if command.expect_version is not None and command.command not in GUARDED:
        raise UnreadableCommand(
            f"The command {command.command} expects no version; {', '.join(sorted(GUARDED))} may.",
            "expect_version",
            name,
        )
    return command
