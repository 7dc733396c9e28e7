"""Decides before each answer whether there may be one, and says once that there will be none."""

import logging
from collections.abc import Awaitable, Callable

from bot_runtime.contract import EventType, RuntimeConfig
from bot_runtime.hooks.answer_limit import WINDOW_SECONDS, AnswerLimit, AnswerVerdict
from bot_runtime.storage.spool import Spool
from bot_runtime.whatsapp.jid import Address

log = logging.getLogger(__name__)

PAUSED = "I have sent many answers and pause for a few minutes. Please try again later."


class AnswerGate:
    """Shared by everything that answers by itself."""

    def __init__(
        self,
        settings: Callable[[], RuntimeConfig],
        reply: Callable[[Address, str], Awaitable[object]],
        spool: Spool,
        *,
        limit: AnswerLimit | None = None,
    ) -> None:
        self._settings = settings
        self._reply = reply
        self._spool = spool
        self._limit = limit or AnswerLimit()

    async def allows(self, chat: Address, *, at_most: int | None = None, notify: bool = True) -> bool:
        """Whether something in `chat` may be answered; if so, it is counted.

        `at_most` is a lower limit for the chat. The first refusal is an event, and with `notify` also an answer.
        """
        settings = self._settings()
        per_chat = min(settings.answers_per_chat, at_most or settings.answers_per_chat)
        verdict = self._limit.take(str(chat), per_chat=per_chat, per_bot=settings.answers_per_bot)
        if verdict is AnswerVerdict.CHAT_LIMIT:
            self._report(f"{chat} received {per_chat} answers within {WINDOW_SECONDS / 60:g} minutes")
        elif verdict is AnswerVerdict.BOT_LIMIT:
            self._report(f"the bot sent {settings.answers_per_bot} answers within {WINDOW_SECONDS / 60:g} minutes")
        if notify and verdict in (AnswerVerdict.CHAT_LIMIT, AnswerVerdict.BOT_LIMIT):
            await self._reply(chat, PAUSED)
        return verdict is AnswerVerdict.ALLOWED

    def _report(self, fact: str) -> None:
        message = f"{fact}: no further answers for now"
        log.warning("%s", message)
        self._spool.append(EventType.ERROR, {"code": "answer-limit", "message": message})
