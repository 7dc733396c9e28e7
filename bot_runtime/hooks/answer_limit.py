"""Limits how often a bot answers, for the sake of strangers who write without end and of other bots. Pure."""

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto

WINDOW_SECONDS = 600.0
CHATS = 1000


class AnswerVerdict(Enum):
    """Whether to answer."""

    ALLOWED = auto()
    CHAT_LIMIT = auto()
    """Not any more: the first refusal of a chat within the window."""
    BOT_LIMIT = auto()
    """Not any more: the first refusal of the whole bot within the window."""
    SILENCE = auto()
    """Not any more, and that has been said."""


@dataclass(slots=True)
class _Answers:
    at: deque[float] = field(default_factory=deque)
    refused_at: float = float("-inf")

    def forget(self, before: float) -> None:
        while self.at and self.at[0] <= before:
            self.at.popleft()

    def refuse(self, now: float, window_seconds: float, first: AnswerVerdict) -> AnswerVerdict:
        if now - self.refused_at < window_seconds:
            return AnswerVerdict.SILENCE
        self.refused_at = now
        return first


class AnswerLimit:
    """Counts answers within a sliding window: those of the bot, and those to each of the latest chats."""

    def __init__(
        self, *, window_seconds: float = WINDOW_SECONDS, chats: int = CHATS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._window_seconds = window_seconds
        self._max_chats = chats
        self._clock = clock
        self._bot = _Answers()
        self._chats: OrderedDict[str, _Answers] = OrderedDict()

    def take(self, chat: str, *, per_chat: int, per_bot: int) -> AnswerVerdict:
        """Whether the chat may be answered once more; if so, the answer is counted.

        The notice to a chat about its limit counts as an answer of the bot, so that many chats cannot exceed its limit.
        """
        now = self._clock()
        answers = self._chats.setdefault(chat, _Answers())
        self._chats.move_to_end(chat)
        if len(self._chats) > self._max_chats:
            self._chats.popitem(last=False)
        for counted in (self._bot, answers):
            counted.forget(now - self._window_seconds)
        if len(self._bot.at) >= per_bot:
            return self._bot.refuse(now, self._window_seconds, AnswerVerdict.BOT_LIMIT)
        if len(answers.at) >= per_chat:
            verdict = answers.refuse(now, self._window_seconds, AnswerVerdict.CHAT_LIMIT)
            if verdict is AnswerVerdict.CHAT_LIMIT:
                self._bot.at.append(now)
            return verdict
        answers.at.append(now)
        self._bot.at.append(now)
        return AnswerVerdict.ALLOWED
