"""Turns a request into a message: its recipient, and the author of the message it quotes."""

import secrets
from collections.abc import Callable

from bot_runtime.contract import Poll, Quote, Reaction, SendRequest
from bot_runtime.errors import ApiError
from bot_runtime.outbound.send_log import REPEATABLE
from bot_runtime.whatsapp.jid import CHANNEL, Address, parse_address
from bot_runtime.whatsapp.outgoing import OutgoingMessage, SendTarget

SECRET_BYTES = 32
MYSELF = "me"


class Recipients:
    """Validates requests. `own` returns the address of the account, `recall` the text of a message by its id and
    chat, or ""."""

    def __init__(self, *, own: Callable[[], Address | None], recall: Callable[[str, Address], str]) -> None:
        self._own = own
        self._recall = recall

    def outgoing(self, request: SendRequest) -> OutgoingMessage:
        """The requested message, with a new secret. Raises `ApiError` 400."""
        content = request.content
        chat = _parse(request.to, "bad-recipient")
        if chat.server == CHANNEL:
            raise ApiError(400, "bad-recipient", "a recipient is a person or a group, not a channel")
        if isinstance(content, Poll):
            _check_poll(content)
        if isinstance(content, Reaction):
            if request.quote is not None:
                raise ApiError(400, "bad-quote", "a reaction cannot quote a message")
            target = self._target(chat, content.message_id, content.sender, "")
            return OutgoingMessage(chat=chat, content=content, target=target, secret=REPEATABLE)
        return OutgoingMessage(
            chat=chat,
            content=content,
            target=self._quoted(chat, request.quote) if request.quote else None,
            secret=secrets.token_bytes(SECRET_BYTES),
        )

    def _quoted(self, chat: Address, quote: Quote) -> SendTarget:
        text = quote.text or self._recall(quote.message_id, chat)
        return self._target(chat, quote.message_id, quote.sender, text)

    def _target(self, chat: Address, message_id: str, sender: str | None, text: str) -> SendTarget:
        if sender == MYSELF:
            own = self._own()
            if own is None:
                raise ApiError(409, "wrong-state", "the bot is not paired yet")
            return SendTarget(message_id, own, mine=True, text=text)
        if sender is None:
            if chat.is_group:
                raise ApiError(400, "bad-sender", "in a group the sender of the message is required")
            return SendTarget(message_id, chat, mine=False, text=text)
        author = _parse(sender, "bad-sender")
        if author.is_group or author.server == CHANNEL:
            raise ApiError(400, "bad-sender", "the sender of a message is a person, not a group or channel")
        return SendTarget(message_id, author, mine=author == self._own(), text=text)


def _parse(text: str, code: str) -> Address:
    try:
        return parse_address(text)
    except ValueError as exc:
        raise ApiError(400, code, str(exc)) from exc


def _check_poll(poll: Poll) -> None:
    if len(set(poll.options)) < len(poll.options):
        raise ApiError(400, "bad-poll", "the options of a poll must be unique")
    if poll.selectable > len(poll.options):
        raise ApiError(400, "bad-poll", "selectable is greater than the number of options")
