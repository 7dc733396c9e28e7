"""Reading votes by the stored polls."""

import hashlib
import sqlite3
from datetime import UTC, datetime
from typing import Any

import pytest

from bot_runtime.polls import Polls, Votes
from bot_runtime.whatsapp.imports import defer_package
from bot_runtime.whatsapp.jid import Address
from bot_runtime.whatsapp.messages import Content, Incoming, Kind, WhatsAppError
from bot_runtime.whatsapp.votes import open_vote

defer_package("neonize")
from neonize.proto import Neonize_pb2 as neonize  # noqa: E402

ADA = Address("491700000001", "s.whatsapp.net")


def digest(option: str) -> bytes:
    return hashlib.sha256(option.encode()).digest()


def message(kind: Kind, message_id: str, **poll: Any) -> Incoming:
    return Incoming(
        id=message_id,
        chat=ADA,
        sender=ADA,
        sender_number=ADA.user,
        from_me=False,
        is_group=False,
        timestamp=datetime(2026, 1, 2, tzinfo=UTC),
        push_name="Ada",
        content=Content(kind=kind, details={"poll": poll}, sealed=b"sealed"),
    )


def test_options_are_returned_in_the_order_of_the_poll(store: sqlite3.Connection) -> None:
    polls = Polls(store)
    polls.remember("P", ["a", "b", "ü"])
    assert polls.names("P", [digest("ü"), digest("a")]) == ["a", "ü"]
    assert polls.names("P", []) == []


def test_unknown_options_are_not_guessed(store: sqlite3.Connection) -> None:
    polls = Polls(store)
    polls.remember("P", ["a", "b"])
    assert polls.names("P", [digest("a"), digest("added later")]) is None
    assert polls.names("Q", [digest("a")]) is None


def test_the_options_of_a_poll_cannot_be_replaced(store: sqlite3.Connection) -> None:
    polls = Polls(store)
    polls.remember("P", ["yes", "no"])
    polls.remember("P", ["no", "maybe"])
    assert polls.names("P", [digest("yes")]) == ["yes"]


def test_the_last_polls_survive_a_restart_and_the_oldest_are_deleted(store: sqlite3.Connection) -> None:
    polls = Polls(store, capacity=10)
    for number in range(300):
        polls.remember(str(number), ["a", "b"])
    again = Polls(store, capacity=10)
    assert again.names("299", [digest("a")]) == ["a"]
    assert again.names("0", [digest("a")]) is None
    assert store.execute("SELECT count(*) FROM polls").fetchone()[0] <= 110


def test_a_vote_has_its_choice_once_its_poll_is_known(store: sqlite3.Connection) -> None:
    votes = Votes(Polls(store), lambda _: [digest("no")])
    assert votes.details(message(Kind.POLL, "P", question="?", options=["yes", "no"])) == {}
    told = votes.details(message(Kind.POLL_VOTE, "V", messageId="P"))
    assert told == {"poll": {"messageId": "P", "options": ["no"]}}


def test_a_vote_that_cannot_be_decrypted_is_recorded_nevertheless(store: sqlite3.Connection) -> None:
    def refuse(_: bytes) -> list[bytes]:
        raise WhatsAppError("original message secret key not found")

    told = Votes(Polls(store), refuse).details(message(Kind.POLL_VOTE, "V", messageId="P"))
    assert told == {"poll": {"messageId": "P", "options": None}}


class Library:
    """The part of the Go library that votes use; `opened` records the decrypted events."""

    def __init__(self, answer: neonize.ReturnFunctionWithError) -> None:
        self.answer = answer
        self.opened: list[bytes] = []

    def decrypt_vote(self, event: bytes) -> bytes:
        self.opened.append(event)
        return bytes(self.answer.SerializeToString())


def event(iv: bytes) -> bytes:
    vote = neonize.Message()
    vote.Message.pollUpdateMessage.vote.encIV = iv
    return bytes(vote.SerializePartialToString())


def test_the_library_decrypts_votes_or_returns_an_error() -> None:
    answer = neonize.ReturnFunctionWithError()
    answer.PollVoteMessage.selectedOptions.append(digest("a"))
    assert open_vote(Library(answer), event(b"i" * 12)) == [digest("a")]  # type: ignore[arg-type]
    refusal = neonize.ReturnFunctionWithError(Error="no secret")
    with pytest.raises(WhatsAppError, match="no secret"):
        open_vote(Library(refusal), event(b"i" * 12))  # type: ignore[arg-type]


@pytest.mark.parametrize("length", [0, 11, 13, 16])
def test_a_vote_that_would_crash_the_library_is_refused(length: int) -> None:
    library = Library(neonize.ReturnFunctionWithError())
    with pytest.raises(WhatsAppError):
        open_vote(library, event(b"i" * length))  # type: ignore[arg-type]
    assert library.opened == []
