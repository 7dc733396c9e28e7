"""How often a bot answers: a chat, and all chats together."""

import sqlite3
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bot_runtime.contract import RuntimeConfig
from bot_runtime.hooks.answer_gate import PAUSED, AnswerGate
from bot_runtime.hooks.answer_limit import AnswerLimit, AnswerVerdict
from bot_runtime.storage.spool import Spool
from bot_runtime.whatsapp.jid import Address

ALLOWED, CHAT_LIMIT, BOT_LIMIT, SILENCE = AnswerVerdict
ADA, BOB, EVE = Address("1", "lid"), Address("2", "lid"), Address("3", "lid")


class Answers:
    """A limit with a clock that tests set."""

    def __init__(self, *, per_chat: int = 100, per_bot: int = 100, **options: Any) -> None:
        self.now = 0.0
        self.limits = {"per_chat": per_chat, "per_bot": per_bot}
        self.limit = AnswerLimit(clock=lambda: self.now, **options)

    def take(self, chat: str = "a", *, at: float | None = None) -> AnswerVerdict:
        self.now = self.now if at is None else at
        return self.limit.take(chat, **self.limits)


def test_a_chat_is_answered_up_to_the_limit_within_the_window() -> None:
    answers = Answers(per_chat=2, window_seconds=600)
    taken = [answers.take(at=now) for now in (0, 100, 200, 599, 600, 601, 700)]
    assert taken == [ALLOWED, ALLOWED, CHAT_LIMIT, SILENCE, ALLOWED, SILENCE, ALLOWED]
    assert answers.take("b") is ALLOWED


def test_a_chat_gets_one_notice_within_a_window_however_often_it_is_refused() -> None:
    answers = Answers(per_chat=1, window_seconds=10)
    taken = [answers.take(at=now / 2) for now in range(60)]
    assert taken.count(ALLOWED) == 3
    assert taken.count(CHAT_LIMIT) == 3


def test_many_chats_are_answered_up_to_the_limit_of_the_bot() -> None:
    answers = Answers(per_chat=2, per_bot=3)
    assert [answers.take(chat) for chat in "abcde"] == [ALLOWED, ALLOWED, ALLOWED, BOT_LIMIT, SILENCE]
    assert [answers.take(chat, at=600) for chat in "abcd"] == [ALLOWED, ALLOWED, ALLOWED, BOT_LIMIT]


def test_a_chat_that_is_no_longer_remembered_still_counts_for_the_bot() -> None:
    answers = Answers(per_chat=1, per_bot=5, chats=2)
    assert [answers.take(chat) for chat in "abacb"] == [ALLOWED, ALLOWED, CHAT_LIMIT, ALLOWED, ALLOWED]
    assert answers.take("d") is BOT_LIMIT


@given(chats=st.lists(st.sampled_from("abcdef"), max_size=80), per_chat=st.integers(1, 5), per_bot=st.integers(1, 20))
def test_no_window_holds_more_messages_than_the_bots_limit_and_its_notice(
    chats: list[str], per_chat: int, per_bot: int
) -> None:
    answers = Answers(per_chat=per_chat, per_bot=per_bot)
    taken = [answers.take(chat) for chat in chats]
    assert len([verdict for verdict in taken if verdict is not SILENCE]) <= per_bot + 1


class Gate:
    """A gate, with the notices and events that it sent."""

    def __init__(self, store: sqlite3.Connection, **settings: Any) -> None:
        self.sent: list[tuple[Address, str]] = []
        self.spool = Spool(store)
        self.gate = AnswerGate(lambda: RuntimeConfig(**settings), self._reply, self.spool)

    async def _reply(self, chat: Address, text: str) -> None:
        self.sent.append((chat, text))

    def events(self) -> list[str]:
        assert {event.data["code"] for event in self.spool.history} <= {"answer-limit"}
        return [event.data["message"] for event in self.spool.history]


async def test_a_refused_chat_gets_one_notice_and_there_is_one_event(store: sqlite3.Connection) -> None:
    gate = Gate(store, answers_per_chat=2)
    assert [await gate.gate.allows(ADA) for _ in range(5)] == [True, True, False, False, False]
    assert gate.sent == [(ADA, PAUSED)]
    assert gate.events() == ["1@lid received 2 answers within 10 minutes: no further answers for now"]


async def test_the_limit_of_the_bot_is_said_to_one_chat_only(store: sqlite3.Connection) -> None:
    gate = Gate(store, answers_per_bot=1)
    assert [await gate.gate.allows(chat) for chat in (ADA, BOB, EVE)] == [True, False, False]
    assert gate.sent == [(BOB, PAUSED)]
    assert gate.events() == ["the bot sent 1 answers within 10 minutes: no further answers for now"]


async def test_a_lower_limit_and_a_silent_refusal(store: sqlite3.Connection) -> None:
    gate = Gate(store)
    assert [await gate.gate.allows(ADA, at_most=1, notify=False) for _ in range(2)] == [True, False]
    assert gate.sent == []
    assert len(gate.events()) == 1
    assert await gate.gate.allows(ADA)
