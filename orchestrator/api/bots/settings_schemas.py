"""Settings that can be changed while a bot runs (`RuntimeConfig` of the contract)."""

from typing import Annotated, Self

from pydantic import Field, WithJsonSchema, model_validator

from orchestrator.api.fields import Integral, PhoneNumber, PlainText, Url, VisibleText
from orchestrator.api.schemas import RequestBody

_RESET_INTERVAL = WithJsonSchema({"type": "number", "anyOf": [{"const": 0}, {"minimum": 60, "maximum": 7 * 86400}]})


class ChatGptSettings(RequestBody):
    """Replies by a language model behind any OpenAI-compatible endpoint.

    The API key of the installation is sent only to the endpoint of the installation, never to another `baseUrl`.
    """

    enabled: bool | None = None
    base_url: Url | None = Field(default=None, max_length=500, examples=["https://api.openai.com/v1"])
    model: PlainText | None = Field(default=None, min_length=1, max_length=100)
    system_prompt: PlainText | None = Field(default=None, max_length=4000)
    memory_messages: Annotated[int, Field(ge=0, le=200), Integral] | None = Field(
        default=None, description="Messages of a chat that are sent along, of both sides."
    )
    timeout_seconds: float | None = Field(default=None, ge=1, le=300)
    answers_per_chat: Annotated[int, Field(ge=1, le=1000), Integral] | None = Field(
        default=None, description="Maximum number of replies to a chat within ten minutes."
    )


class ChannelReactionSettings(RequestBody):
    """React to every new post of a followed channel."""

    channel: str = Field(
        pattern=r"^(\*|[0-9]{5,32}@newsletter)$", description="The channel's id, or `*` for all.", examples=["*"]
    )
    emoji: VisibleText = Field(min_length=1, max_length=16, examples=["👍"])


class BotSettings(RequestBody):
    """Overrides of the default settings. Applied while the bot runs; null resets a setting to the default."""

    prefix: VisibleText | None = Field(
        default=None, min_length=1, max_length=5, description="Prefix of commands.", examples=["!"]
    )
    owners: list[PhoneNumber] | None = Field(
        default=None,
        max_length=20,
        description="Numbers that may use settings commands, besides the account itself. The first one receives "
        "deleted messages.",
    )
    owners_on_linked_devices: bool | None = Field(
        default=None,
        description="Whether the account and its owners may use settings commands on linked devices (WhatsApp Web) "
        "too, not only on their phone. A linked device may be a bot that repeats what strangers write.",
    )
    auto_view: bool | None = Field(default=None, description="Mark status updates of contacts as viewed.")
    typing: bool | None = Field(default=None, description='Show "typing" while the bot prepares a reply.')
    anti_delete: bool | None = Field(default=None, description="Forward messages that senders delete to the owner.")
    anti_view_once: bool | None = Field(default=None, description="Forward view-once messages to the owner.")
    chatgpt: ChatGptSettings | None = None
    channel_reactions: list[ChannelReactionSettings] | None = Field(default=None, max_length=50)
    answers_per_chat: Annotated[int, Field(ge=1, le=100_000), Integral] | None = Field(
        default=None,
        description="Maximum number of answers to commands and by the language model, to a chat within ten minutes. "
        "Commands of owners do not count.",
    )
    answers_per_bot: Annotated[int, Field(ge=1, le=100_000), Integral] | None = Field(
        default=None, description="The same for all chats of the bot together."
    )
    rate_limit_max: Annotated[int, Field(ge=1, le=10_000), Integral] | None = Field(
        default=None, description="Maximum number of messages to a recipient within the window."
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
    max_reconnect_attempts: Annotated[int, Field(ge=1, le=1000), Integral] | None = Field(
        default=None, description="Failed attempts after which the container is restarted."
    )
    connection_reset_interval_seconds: Annotated[float, _RESET_INTERVAL] | None = Field(
        default=None,
        description="How often the connection is renewed; 0: never, otherwise at least 60.",
    )

    @model_validator(mode="after")
    def _not_too_often(self) -> Self:
        interval = self.connection_reset_interval_seconds
        if interval is not None and interval != 0 and not 60 <= interval <= 7 * 86400:
            raise ValueError("connectionResetIntervalSeconds must be 0, or from 60 to 604800")
        return self
