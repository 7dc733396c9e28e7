"""Request and response bodies of bots."""

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import Field, ValidationError, model_validator
from pydantic.json_schema import SkipJsonSchema

from bot_runtime.contract import ConnectionState
from orchestrator.api.bots.pairing_secrets import without_drawn_qr_codes
from orchestrator.api.bots.settings_schemas import BotSettings
from orchestrator.api.fields import BotIdField, Integral, Name, PhoneNumber, ServerNameField
from orchestrator.api.schemas import RequestBody, ResponseBody
from orchestrator.db.bot_settings import merge
from orchestrator.db.bots import BotRow
from orchestrator.db.phases import shown_phase
from orchestrator.db.tolerant import as_object
from orchestrator.states import Approval, DesiredState, Phase

MIB = 1 << 20
# Strings, not enums, so that a value written by a newer controller never breaks a response.
PhaseText = Annotated[str, Field(json_schema_extra={"enum": [str(phase) for phase in Phase]}, examples=["online"])]


class BotLimits(RequestBody):
    """Resource limits of a bot's container. A change replaces the container; null resets a limit to the default."""

    memory_bytes: Annotated[int, Field(ge=64 * MIB, le=4096 * MIB), Integral] | None = Field(
        default=None, examples=[256 * MIB]
    )
    cpus: float | None = Field(default=None, ge=0.05, le=8, examples=[0.5])
    pids: Annotated[int, Field(ge=16, le=1024), Integral] | None = Field(default=None, examples=[64])


class NewBot(RequestBody):
    """A bot to create. It waits for approval."""

    id: BotIdField | None = Field(default=None, description="Generated if omitted.")
    name: Name
    server_name: ServerNameField | None = Field(
        default=None, description="Default: the server of the key; for an admin key, the server of the api."
    )
    phone_number: PhoneNumber | None = None
    settings: BotSettings = BotSettings()
    limits: BotLimits = BotLimits()


class BotPatch(RequestBody):
    """Changes to a bot; omitted fields keep their values. `settings` and `limits` are merged field by field."""

    name: Name | SkipJsonSchema[None] = None
    phone_number: PhoneNumber | None = None
    settings: BotSettings | SkipJsonSchema[None] = None
    limits: BotLimits | SkipJsonSchema[None] = None

    @model_validator(mode="after")
    def _not_null(self) -> Self:
        for field in ("name", "settings", "limits"):
            if field in self.model_fields_set and getattr(self, field) is None:
                raise ValueError(f"{field} must not be null")
        return self


class RestartBody(RequestBody):
    """Options of a restart."""

    fresh: bool = Field(default=False, description="Delete the session: the bot must be paired again.")


class LastExit(ResponseBody):
    """The exit of the last container."""

    container_id: str | None = None
    exit_code: int | None = None
    oom_killed: bool = False
    reason: str | None = None
    message: str | None = None
    finished_at: datetime | None = None
    logs: list[str] = Field(default=[], description="Its last log lines, oldest first; omitted in lists.")

    @classmethod
    def of(cls, stored: Any) -> Self:
        """The view of a stored exit; if it cannot be read, one that says so."""
        try:
            return cls.model_validate(stored)
        except ValidationError:
            return cls(reason="unreadable", message="the stored exit cannot be read")


class BotStatusView(ResponseBody):
    """The status of a bot."""

    phase: PhaseText
    reason: str = Field(
        description="Stable reason code; empty if the phase needs no explanation.", examples=["oom-killed"]
    )
    message: str = Field(description="The reason, for people.")
    container_id: str | None
    container_name: str | None = Field(examples=["botdock-server1-bot-123"])
    connection: str | None = Field(
        description="State of the WhatsApp connection, as last reported by the bot: "
        f"{', '.join(f'`{state}`' for state in ConnectionState)}, or one that a newer bot has added.",
        examples=["online"],
    )
    restarts: int = Field(description="Restarts of the container.")
    last_exit: LastExit | None
    started_at: datetime | None
    connected_at: datetime | None
    last_heartbeat: datetime | None
    next_start_at: datetime | None


class BotView(ResponseBody):
    """A bot with its desired state and its status."""

    id: str = Field(examples=["bot-123"])
    name: str = Field(examples=["Support"])
    server_name: str = Field(examples=["server1"])
    phone_number: str | None = Field(
        description="The paired number; before pairing, the one that was set.", examples=["491701234567"]
    )
    kind: str = Field(examples=["standard"])
    approval_status: Approval
    desired_state: DesiredState
    settings: dict[str, Any] = Field(examples=[{"prefix": "!"}])
    limits: dict[str, Any] = Field(examples=[{"memoryBytes": 256 * MIB}])
    created_at: datetime
    updated_at: datetime
    status: BotStatusView

    @classmethod
    def of(cls, row: BotRow, *, with_logs: bool = True) -> Self:
        """The view of a database row."""
        bot, status = row
        last_exit = LastExit.of(status.last_exit) if status.last_exit else None
        if last_exit is not None:
            lines = without_drawn_qr_codes(last_exit.logs) if with_logs else []
            last_exit = last_exit.model_copy(update={"logs": lines})
        return cls(
            id=bot.id,
            name=bot.name,
            server_name=bot.server_name,
            phone_number=status.paired_number or bot.phone_number,
            kind=bot.kind,
            approval_status=Approval(bot.approval_status),
            desired_state=DesiredState(bot.desired_state),
            settings=as_object(bot.settings),
            limits=as_object(bot.limits),
            created_at=bot.created_at,
            updated_at=bot.updated_at,
            status=BotStatusView(
                phase=shown_phase(bot, status),
                reason="deleting" if bot.deleting else status.reason,
                message="" if bot.deleting else status.message,
                container_id=status.container_id,
                container_name=status.container_name,
                connection=status.connection,
                restarts=status.restarts,
                last_exit=last_exit,
                started_at=status.started_at,
                connected_at=status.connected_at,
                last_heartbeat=status.last_heartbeat,
                next_start_at=status.next_start_at,
            ),
        )


def merged(current: dict[str, Any], changes: BotSettings | BotLimits) -> dict[str, Any]:
    """Settings or limits after a change: fields that were sent are set, or removed if they are null."""
    return merge(current, changes.model_dump(by_alias=True, exclude_unset=True))
