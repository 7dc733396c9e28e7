"""Settings that can be changed while a bot runs (`RuntimeConfig` of the contract)."""

import re
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from orchestrator.api.schemas import PhoneNumber, RequestBody, no_nul

_ADDRESS = re.compile(r"https?://[^\s/@?#\\]+(:[0-9]{1,5})?([/?][^\s\\]*)?")


def web_address(value: str) -> str:
    """An http or https URL without credentials, since every reader of the bot sees it. Raises ValueError."""
    if not value.isprintable() or _ADDRESS.fullmatch(value) is None:
        raise ValueError("must be an http:// or https:// URL without user and password")
    return value


WebAddress = Annotated[str, Field(examples=["https://example.com/hook"]), AfterValidator(web_address)]


def _visible(value: str) -> str:
    if not value.isprintable() or any(char.isspace() for char in value):
        raise ValueError("must contain visible characters only")
    return value


class ChatGptSettings(RequestBody):
    """Replies by a language model behind any OpenAI-compatible endpoint.

    The API key of the installation is sent only to the endpoint of the installation, never to another `baseUrl`.
    """

    enabled: bool | None = None
    base_url: WebAddress | None = Field(default=None, max_length=500, examples=["https://api.openai.com/v1"])
    model: Annotated[str, AfterValidator(no_nul)] | None = Field(default=None, min_length=1, max_length=100)
    system_prompt: Annotated[str, AfterValidator(no_nul)] | None = Field(default=None, max_length=4000)
    memory_messages: int | None = Field(
        default=None, ge=0, le=200, description="Messages of a chat that are sent along, of both sides."
    )
    timeout_seconds: float | None = Field(default=None, ge=1, le=300)
    answers_per_chat: int | None = Field(
        default=None, ge=1, le=1000, description="Maximum number of replies to a chat within ten minutes."
    )


class ChannelReactionSettings(RequestBody):
    """React to every new post of a followed channel."""

    channel: str = Field(
        pattern=r"^(\*|[0-9]{5,32}@newsletter)$", description="The channel's id, or `*` for all.", examples=["*"]
    )
    emoji: Annotated[str, AfterValidator(_visible)] = Field(min_length=1, max_length=16, examples=["👍"])


class BotSettings(RequestBody):
    """Overrides of the default settings. Applied while the bot runs; null resets a setting to the default."""

    prefix: Annotated[str, AfterValidator(_visible)] | None = Field(
        default=None, min_length=1, max_length=5, description="Prefix of commands.", examples=["!"]
    )
    owners: list[PhoneNumber] | None = Field(
        default=None,
        max_length=20,
        description="Numbers that may use settings commands, besides the account itself. The first one receives "
        "deleted messages.",
    )
    auto_view: bool | None = Field(default=None, description="Mark status updates of contacts as viewed.")
    typing: bool | None = Field(default=None, description='Show "typing" while the bot prepares a reply.')
    anti_delete: bool | None = Field(default=None, description="Forward messages that senders delete to the owner.")
    anti_view_once: bool | None = Field(default=None, description="Forward view-once messages to the owner.")
    chatgpt: ChatGptSettings | None = None
    channel_reactions: list[ChannelReactionSettings] | None = Field(default=None, max_length=50)
    rate_limit_max: int | None = Field(
        default=None, ge=1, le=10_000, description="Maximum number of messages to a recipient within the window."
    )
    rate_limit_window_seconds: float | None = Field(default=None, ge=1, le=86_400)
    heartbeat_interval_seconds: float | None = Field(
        default=None, ge=1, le=3600, description="How often the bot checks its connection."
    )
    reconnect_base_delay_seconds: float | None = Field(
        default=None,
        ge=0.1,
        le=300,
        description="Delay before the second connection attempt; doubles with each attempt.",
    )
    max_reconnect_attempts: int | None = Field(
        default=None, ge=1, le=1000, description="Failed attempts after which the container is restarted."
    )
    connection_reset_interval_seconds: float | None = Field(
        default=None,
        ge=0,
        le=7 * 86400,
        description="How often the connection is renewed; 0: never, otherwise at least 60.",
    )

    @model_validator(mode="after")
    def _not_too_often(self) -> Self:
        interval = self.connection_reset_interval_seconds
        if interval is not None and 0 < interval < 60:
            raise ValueError("connectionResetIntervalSeconds must be 0 or at least 60")
        return self
