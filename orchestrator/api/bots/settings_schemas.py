"""What may be set of a bot while it runs (`RuntimeConfig` of the contract)."""

import re
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from orchestrator.api.schemas import PhoneNumber, RequestBody, no_nul

_ADDRESS = re.compile(r"https?://[^\s/@?#\\]+(:[0-9]{1,5})?([/?][^\s\\]*)?")


def web_address(value: str) -> str:
    """An http or https URL without a password in it: it is shown to everybody who may read. Raises ValueError."""
    if not value.isprintable() or _ADDRESS.fullmatch(value) is None:
        raise ValueError("must be an http:// or https:// address without user and password")
    return value


WebAddress = Annotated[str, Field(examples=["https://example.com/hook"]), AfterValidator(web_address)]


def _visible(value: str) -> str:
    if not value.isprintable() or any(char.isspace() for char in value):
        raise ValueError("must hold visible characters only")
    return value


class ChatGptSettings(RequestBody):
    """Replies by a language model behind any OpenAI-compatible endpoint.

    The installation's key goes to the installation's endpoint only: a bot with another `baseUrl` asks it without a key.
    """

    enabled: bool | None = None
    base_url: WebAddress | None = Field(default=None, max_length=500, examples=["https://api.openai.com/v1"])
    model: Annotated[str, AfterValidator(no_nul)] | None = Field(default=None, min_length=1, max_length=100)
    system_prompt: Annotated[str, AfterValidator(no_nul)] | None = Field(default=None, max_length=4000)
    memory_messages: int | None = Field(default=None, ge=0, le=200, description="Remembered per chat, both sides.")
    timeout_seconds: float | None = Field(default=None, ge=1, le=300)
    answers_per_chat: int | None = Field(
        default=None, ge=1, le=1000, description="Answers to one chat within ten minutes."
    )


class ChannelReactionSettings(RequestBody):
    """React to every new post of a followed channel."""

    channel: str = Field(
        pattern=r"^(\*|[0-9]{5,32}@newsletter)$", description="The channel's id, or `*` for all.", examples=["*"]
    )
    emoji: Annotated[str, AfterValidator(_visible)] = Field(min_length=1, max_length=16, examples=["👍"])


class BotSettings(RequestBody):
    """Overrides of what every bot starts with. Applied while the bot runs; null takes an override back."""

    prefix: Annotated[str, AfterValidator(_visible)] | None = Field(
        default=None, min_length=1, max_length=5, description="What a command starts with.", examples=["!"]
    )
    owners: list[PhoneNumber] | None = Field(
        default=None,
        max_length=20,
        description="Who may give settings commands, besides the account itself. The first is shown deleted messages.",
    )
    auto_view: bool | None = Field(default=None, description="Mark statuses of contacts as viewed.")
    typing: bool | None = Field(default=None, description='Show "typing" while the bot works on an answer.')
    anti_delete: bool | None = Field(default=None, description="Show the owner what senders delete.")
    anti_view_once: bool | None = Field(default=None, description="Show view-once messages to the owner.")
    chatgpt: ChatGptSettings | None = None
    channel_reactions: list[ChannelReactionSettings] | None = Field(default=None, max_length=50)
    rate_limit_max: int | None = Field(
        default=None, ge=1, le=10_000, description="Messages sent to one recipient within the window."
    )
    rate_limit_window_seconds: float | None = Field(default=None, ge=1, le=86_400)
    heartbeat_interval_seconds: float | None = Field(
        default=None, ge=1, le=3600, description="How often the bot looks after its connection."
    )
    reconnect_base_delay_seconds: float | None = Field(
        default=None, ge=0.1, le=300, description="Wait before the second connection attempt; doubles with each."
    )
    max_reconnect_attempts: int | None = Field(
        default=None, ge=1, le=1000, description="Attempts until the bot gives up and its container is restarted."
    )
    connection_reset_interval_seconds: float | None = Field(
        default=None, ge=0, le=7 * 86400, description="How often the connection is renewed; 0: never, else from 60."
    )

    @model_validator(mode="after")
    def _not_too_often(self) -> Self:
        interval = self.connection_reset_interval_seconds
        if interval is not None and 0 < interval < 60:
            raise ValueError("connectionResetIntervalSeconds must be 0 or at least 60")
        return self
