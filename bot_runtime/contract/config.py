"""What may be changed while a bot runs."""

from typing import Annotated

from msgspec import Meta

from bot_runtime.contract.wire import Wire

OPENAI = "https://api.openai.com/v1"


class ChatGpt(Wire, frozen=True):
    """Answers by a language model behind any OpenAI-compatible endpoint. The key travels in `Secrets`."""

    enabled: bool = False
    base_url: Annotated[str, Meta(max_length=500)] = OPENAI
    model: Annotated[str, Meta(max_length=100)] = "gpt-4o-mini"
    system_prompt: Annotated[str, Meta(max_length=4000)] = ""
    memory_messages: Annotated[int, Meta(ge=0, le=200)] = 20
    """Messages remembered per chat, both sides counted."""
    timeout_seconds: Annotated[float, Meta(gt=0, le=300)] = 30.0
    answers_per_chat: Annotated[int, Meta(ge=1, le=1000)] = 30
    """Answers that one chat gets within ten minutes: two bots that answer each other must come to an end."""


class CustomCommand(Wire, frozen=True):
    """A command made by an operator: either a text or a webhook that answers."""

    name: Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9_-]{0,31}$")]
    response: Annotated[str, Meta(max_length=4096)] | None = None
    """`{name}`, `{number}`, `{args}`, `{prefix}` and `{bot}` are filled in; nothing else is looked at."""
    webhook: Annotated[str, Meta(max_length=2000)] | None = None
    """Gets `WebhookCall` by POST and answers `{"text": …}` or plain text within ten seconds."""


class WebhookCall(Wire, frozen=True):
    """What a command's webhook is sent."""

    bot_id: str
    command: str
    args: str
    chat: str
    sender: str
    sender_number: str | None
    push_name: str
    message_id: str


class ChannelReaction(Wire, frozen=True):
    """React to every new post of a followed channel."""

    channel: Annotated[str, Meta(max_length=100)]
    """Id of the channel (`…@newsletter`), or `*` for all that the account follows."""
    emoji: Annotated[str, Meta(min_length=1, max_length=16)]


class TakenOver(Wire, frozen=True):
    """How far a configuration holds what the bot's owner changed by command, as numbers of the bot's events."""

    spool_id: str
    seq: int


class RuntimeConfig(Wire, frozen=True):
    """What may be changed while a bot runs. Kept on the volume, so that a restart needs nobody."""

    generation: int = 0
    """Grows with every change; a lower one than the present is refused with 409."""
    name: str = ""
    """The bot's name, for its answers and logs."""
    prefix: Annotated[str, Meta(min_length=1, max_length=5)] = "."
    """What a command starts with, 1 to 5 characters."""
    owners: list[Annotated[str, Meta(pattern="^[0-9]{5,15}$")]] = []
    """Numbers that may give settings commands, besides the account itself. The first is told of deleted messages."""
    auto_view: bool = False
    """Mark statuses of contacts as viewed."""
    typing: bool = False
    """Show "typing" while a command works, or the language model is asked."""
    anti_delete: bool = False
    """Keep messages that their sender deletes, and show them to the owner."""
    anti_view_once: bool = False
    """Show view-once messages to the owner."""
    chatgpt: ChatGpt = ChatGpt()
    commands: list[CustomCommand] = []
    channel_reactions: list[ChannelReaction] = []
    rate_limit_max: Annotated[int, Meta(ge=1)] = 30
    """Messages sent by `POST /messages` to one recipient within the window; answers to commands do not count."""
    rate_limit_window_seconds: Annotated[float, Meta(gt=0)] = 60.0
    heartbeat_interval_seconds: Annotated[float, Meta(gt=0)] = 30.0
    reconnect_base_delay_seconds: Annotated[float, Meta(gt=0)] = 5.0
    max_reconnect_attempts: Annotated[int, Meta(ge=1)] = 10
    connection_reset_interval_seconds: Annotated[float, Meta(ge=0)] = 3600.0
    """How often the connection is renewed; 0 switches it off."""
    taken_over: TakenOver | None = None
    """The bot's `settings-update` events up to here are in it, later ones are laid over it. None: all are in it."""


class Secrets(Wire, frozen=True):
    """`PUT /secrets`: what a bot needs and must never write down. Sent after every start of the process."""

    openai_api_key: Annotated[str, Meta(pattern=r"^[!-~]{1,512}\Z")] | None = None
    openai_base_url: str = OPENAI
    """The only `chatgpt.baseUrl` that the key is sent to; any other is asked without a key."""
