"""Request and response bodies of messages."""

import re
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, WithJsonSchema, model_validator

from orchestrator.api.fields import (
    NAME_PATTERN,
    PHONE_NUMBER_PATTERN,
    Integral,
    Matches,
    PhoneNumber,
    PlainText,
    phone_number,
)
from orchestrator.api.schemas import RequestBody, ResponseBody
from orchestrator.db.message_models import Message
from orchestrator.db.models import Bot
from orchestrator.states import MessageState

MAX_TEXT = 65_536
_CHAT = re.compile(r"([0-9]{5,32}(?:-[0-9]{5,32})?)(?::[0-9]{1,5})?@(s\.whatsapp\.net|c\.us|lid|g\.us)")
_CHAT_PATTERN = re.sub("[a-z]", lambda letter: f"[{letter[0]}{letter[0].upper()}]", _CHAT.pattern)
RECIPIENT_PATTERN = f"^ *(?:(?:00)?{PHONE_NUMBER_PATTERN[1:-1]}|{_CHAT_PATTERN} *)$"
_GROUP = "@g.us"


def recipient(value: str) -> str:
    """The chat id for a phone number or any common form of a chat id. Raises ValueError."""
    match = _CHAT.fullmatch(value.strip(" ").lower())
    if match is None:
        if "@" in value:
            raise ValueError("must be a phone number or a chat id: …@s.whatsapp.net, …@c.us, …@lid or …@g.us")
        value = value.strip(" ")
        return f"{phone_number(value.removeprefix('00'))}@s.whatsapp.net"
    user, server = match.groups()
    return f"{user}@{'s.whatsapp.net' if server == 'c.us' else server}"


def _sender(value: str) -> str:
    return value if value == "me" else recipient(value)


Recipient = Annotated[
    str,
    Field(
        max_length=80,
        description="A phone number in international format, or a chat id (`…@s.whatsapp.net`, `…@c.us`, `…@lid`, "
        "`…@g.us`).",
        examples=["+49 170 1234567"],
    ),
    AfterValidator(recipient),
    Field(json_schema_extra={"pattern": RECIPIENT_PATTERN}),
]
Sender = Annotated[
    str | None,
    Field(
        default=None,
        max_length=80,
        description="Author of the message, required in groups; default: the other party of the chat; `me`: the bot.",
    ),
    AfterValidator(lambda value: None if value is None else _sender(value)),
]
MessageId = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:@-]{1,128}$", description="The message's id in WhatsApp.")]


_BASE64 = WithJsonSchema({"type": "string", "contentEncoding": "base64"})


class TextContent(RequestBody):
    """A text message."""

    type: Literal["text"]
    text: PlainText = Field(min_length=1, max_length=MAX_TEXT)


class FileContent(RequestBody):
    """Common fields of files. The file is sent as `data`, or as the part `file` of a multipart body."""

    model_config = ConfigDict(val_json_bytes="base64", str_max_length=None)

    mimetype: str | None = Field(
        default=None,
        max_length=100,
        pattern=r"^[a-z0-9.+-]+/[A-Za-z0-9.+-]+(; ?codecs=[a-z0-9.]+)?$",
        description="Required with `data`; in a multipart body the default is the type of the part `file`.",
        examples=["image/jpeg"],
    )
    data: Annotated[bytes, _BASE64] | None = Field(default=None, repr=False, description="The file in base64.")


class ImageContent(FileContent):
    """An image (JPEG, PNG)."""

    type: Literal["image"]
    caption: PlainText = Field(default="", max_length=4096)


class VideoContent(FileContent):
    """A video (MP4)."""

    type: Literal["video"]
    caption: PlainText = Field(default="", max_length=4096)


class AudioContent(FileContent):
    """An audio file, or a voice message (`audio/ogg; codecs=opus`)."""

    type: Literal["audio"]
    voice: bool = False


class DocumentContent(FileContent):
    """A file of any type, shown with its name."""

    type: Literal["document"]
    file_name: PlainText | None = Field(default=None, min_length=1, max_length=255)
    caption: PlainText = Field(default="", max_length=4096)


class StickerContent(FileContent):
    """A sticker (WebP, 512×512)."""

    type: Literal["sticker"]


class LocationContent(RequestBody):
    """A location, in degrees."""

    type: Literal["location"]
    latitude: float = Field(ge=-90, le=90)
    longitude: float = Field(ge=-180, le=180)
    name: PlainText = Field(default="", max_length=200)
    address: PlainText = Field(default="", max_length=500)


class ContactContent(RequestBody):
    """A contact card."""

    type: Literal["contact"]
    name: Annotated[
        str,
        Field(min_length=1, max_length=200),
        Matches(NAME_PATTERN, "must contain visible characters, and no control characters"),
    ]
    phone_number: PhoneNumber


class ReactionContent(RequestBody):
    """A reaction to a message; an empty emoji removes it."""

    type: Literal["reaction"]
    message_id: MessageId
    emoji: PlainText = Field(max_length=16)
    sender: Sender


class PollContent(RequestBody):
    """A poll."""

    type: Literal["poll"]
    question: PlainText = Field(min_length=1, max_length=255)
    options: list[Annotated[PlainText, Field(min_length=1, max_length=100)]] = Field(min_length=2, max_length=12)
    selectable: Annotated[int, Integral] = Field(default=1, ge=1, le=12)

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if len(set(self.options)) < len(self.options):
            raise ValueError("options must differ")
        if self.selectable > len(self.options):
            raise ValueError("selectable must not exceed the number of options")
        return self


Content = Annotated[
    TextContent
    | ImageContent
    | VideoContent
    | AudioContent
    | DocumentContent
    | StickerContent
    | LocationContent
    | ContactContent
    | ReactionContent
    | PollContent,
    Field(discriminator="type"),
]


class Quoted(RequestBody):
    """The message that is quoted."""

    message_id: MessageId
    sender: Sender
    text: PlainText = Field(
        default="", max_length=4096, description="Text to show if the bot no longer has the quoted message."
    )


class MessageBody(RequestBody):
    """A message to send: either `message` (plain text) or `content`."""

    model_config = ConfigDict(
        str_max_length=None,
        json_schema_extra={
            "oneOf": [
                {"properties": {"message": {"type": "string"}, "content": {"type": "null"}}, "required": ["message"]},
                {"properties": {"message": {"type": "null"}, "content": {"type": "object"}}, "required": ["content"]},
            ]
        },
    )

    to: Recipient
    message: PlainText | None = Field(default=None, min_length=1, max_length=MAX_TEXT, examples=["Hello"])
    content: Content | None = None
    quote: Quoted | None = None
    queue: bool = Field(
        default=False, description="If the rate limit is reached, queue the message instead of rejecting it."
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.message is None) == (self.content is None):
            raise ValueError("send either message or content")
        if isinstance(self.content, ReactionContent) and self.quote is not None:
            raise ValueError("a reaction cannot quote")
        target = self.content if isinstance(self.content, ReactionContent) else self.quote
        if self.to.endswith(_GROUP) and target is not None and target.sender is None:
            raise ValueError("sender (the author of the message) is required in groups")
        return self


class Timings(ResponseBody):
    """Milliseconds since the message was accepted."""

    sent_ms: int | None
    delivered_ms: int | None
    read_ms: int | None


class MessageView(ResponseBody):
    """A sent or queued message."""

    id: str = Field(description="Botdock's id of the message.", examples=["0b6c1c5e-6f7e-4a55-9d6a-0d7f3f9b5c1e"])
    bot_id: str
    to: str = Field(description="The chat id.", examples=["491701234567@s.whatsapp.net"])
    content: dict[str, Any] = Field(description="The content of the request, without the file.")
    quote: dict[str, Any] | None
    state: MessageState
    reason: str = Field(
        description="Stable reason code: why the message failed, waits, or is unconfirmed.", examples=["rate-limited"]
    )
    detail: str = Field(description="The reason, for people.")
    message_id: str | None = Field(description="The message's id in WhatsApp, once sent.")
    attempts: int
    next_attempt_at: datetime | None
    created_at: datetime
    sent_at: datetime | None
    delivered_at: datetime | None
    read_at: datetime | None
    failed_at: datetime | None
    timings: Timings

    @classmethod
    def of(cls, row: Message, bot: Bot) -> Self:
        """The view of a message of this bot."""

        def since(timestamp: datetime | None) -> int | None:
            return None if timestamp is None else max(0, (timestamp - row.created_at) // timedelta(milliseconds=1))

        return cls(
            id=row.id,
            bot_id=bot.id,
            to=row.to_chat,
            content=row.content,
            quote=row.quote,
            state=MessageState(row.state),
            reason=row.reason,
            detail=row.detail,
            message_id=row.whatsapp_id,
            attempts=row.attempts,
            next_attempt_at=row.next_attempt_at,
            created_at=row.created_at,
            sent_at=row.sent_at,
            delivered_at=row.delivered_at,
            read_at=row.read_at,
            failed_at=row.failed_at,
            timings=Timings(
                sent_ms=since(row.sent_at), delivered_ms=since(row.delivered_at), read_ms=since(row.read_at)
            ),
        )
