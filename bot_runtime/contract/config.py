"""The configuration that can be changed while a bot runs."""

from typing import Annotated, Literal

from msgspec import Meta

from bot_runtime.contract.wire import Wire

OPENAI = "https://api.openai.com/v1"
LogLevel = Literal["debug", "info", "warning", "error"]


class ChatGpt(Wire, frozen=True):
    """Answers by a language model behind any OpenAI-compatible endpoint. The API key is in `Secrets`."""

    enabled: bool = False
    base_url: Annotated[str, Meta(max_length=500)] = OPENAI
    model: Annotated[str, Meta(max_length=100)] = "gpt-4o-mini"
    system_prompt: Annotated[str, Meta(max_length=4000)] = ""
    memory_messages: Annotated[int, Meta(ge=0, le=200)] = 20
    """Messages stored per chat, of both sides."""
    timeout_seconds: Annotated[float, Meta(gt=0, le=300)] = 30.0
    answers_per_chat: Annotated[int, Meta(ge=1, le=1000)] = 30
    """Maximum of answers to one chat within ten minutes, so that two bots do not answer each other forever."""


class CustomCommand(Wire, frozen=True):
    """A command defined by an operator: either a text or a webhook."""

    name: Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9_-]{0,31}$")]
    response: Annotated[str, Meta(max_length=4096)] | None = None
    """`{name}`, `{number}`, `{args}`, `{prefix}` and `{bot}` are replaced, nothing else."""
    webhook: Annotated[str, Meta(max_length=2000)] | None = None
    """Receives a `WebhookCall` by POST and returns `{"text": …}` or plain text within ten seconds. Its address is
    public or allowed by `WebAccess`."""


class WebhookCall(Wire, frozen=True):
    """The request body of a webhook."""

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
    """Id of the channel (`…@newsletter`), or `*` for all followed channels."""
    emoji: Annotated[str, Meta(min_length=1, max_length=16)]


class WebAccess(Wire, frozen=True):
    """What the installation allows its bots to call. Set by admins, never by the settings of a bot."""

    allowed_hosts: list[str] = []
    """Host names and networks (CIDR) on private networks that webhooks and language models may be on."""
    model_url: str = OPENAI
    """The installation's language model. Its address is not checked, and it is called through the proxy."""


class TakenOver(Wire, frozen=True):
    """The last `settings-update` event of the bot that a configuration includes."""

    spool_id: str
    seq: int


class RuntimeConfig(Wire, frozen=True):
    """The configuration that can be changed while a bot runs. Stored on the volume of the bot."""

    generation: int = 0
    """Grows with every change; a generation lower than the current one is refused with 409."""
    name: str = ""
    """The name of the bot, for its answers and logs."""
    prefix: Annotated[str, Meta(min_length=1, max_length=5)] = "."
    """The prefix of commands, 1 to 5 characters."""
    owners: list[Annotated[str, Meta(pattern="^[0-9]{5,15}$")]] = []
    """Numbers that may use settings commands, besides the account itself. Deleted messages are sent to the first."""
    owners_on_linked_devices: bool = False
    """Whether owners may use settings commands on linked devices (WhatsApp Web) as well as on their phone."""
    auto_view: bool = False
    """Mark statuses of contacts as viewed."""
    typing: bool = False
    """Show "typing" while a command or the language model prepares an answer."""
    anti_delete: bool = False
    """Forward messages that their sender deletes to the owner."""
    anti_view_once: bool = False
    """Forward view-once messages to the owner."""
    chatgpt: ChatGpt = ChatGpt()
    commands: list[CustomCommand] = []
    channel_reactions: list[ChannelReaction] = []
    web_access: WebAccess = WebAccess()
    volume_max_bytes: Annotated[int, Meta(ge=1)] = 1 << 30
    """What the bot may store: it disconnects before that. The orchestrator stops it when it has stored more."""
    answers_per_chat: Annotated[int, Meta(ge=1)] = 60
    """Maximum of answers to commands and by the language model, to one chat within ten minutes. Owners' commands do not
    count."""
    answers_per_bot: Annotated[int, Meta(ge=1)] = 600
    """The same for all chats together."""
    rate_limit_max: Annotated[int, Meta(ge=1)] = 30
    """Maximum of messages by `POST /messages` to one recipient within the window; answers to commands do not count."""
    rate_limit_window_seconds: Annotated[float, Meta(gt=0)] = 60.0
    heartbeat_interval_seconds: Annotated[float, Meta(gt=0)] = 30.0
    reconnect_base_delay_seconds: Annotated[float, Meta(gt=0)] = 5.0
    max_reconnect_attempts: Annotated[int, Meta(ge=1)] = 10
    connection_reset_interval_seconds: Annotated[float, Meta(ge=0)] = 3600.0
    """How often the connection is renewed; 0 disables it."""
    log_level: LogLevel = "info"
    """Of the runtime's own log lines, at once; those of the library follow in the next container."""
    taken_over: TakenOver | None = None
    """Includes `settings-update` events up to here; later ones are applied on top. None: includes all."""


class Secrets(Wire, frozen=True):
    """`PUT /secrets`: secrets that a bot must never write to disk. Sent after every start of the process."""

    openai_api_key: Annotated[str, Meta(pattern=r"^[!-~]{1,512}\Z")] | None = None
    openai_base_url: str = OPENAI
    """The only `chatgpt.baseUrl` that the key is sent to; requests to any other have no key."""
