"""Which messages go now, and what answers mean."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.outbox.delivery_policy import (
    EXPIRED,
    GRACE,
    MAX_DELAY_SECONDS,
    MAX_ERRORS,
    OUTCOME_UNKNOWN,
    Answer,
    Choice,
    Head,
    NoResponse,
    Refused,
    Sent,
    choose,
    judge,
)
from orchestrator.states import MessageState

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
EXPIRY = timedelta(hours=1)
SENT = Sent(whatsapp_id="W")


def head(
    chat: str = "a",
    *,
    state: MessageState = MessageState.QUEUED,
    age: timedelta = timedelta(),
    due_in: float | None = None,
    on: str | None = None,
) -> Head:
    due = None if due_in is None else NOW + timedelta(seconds=due_in)
    return Head(id=f"m-{chat}", chat=chat, state=state, created_at=NOW - age, next_attempt_at=due, attempted_on=on)


def chosen(*heads: Head, busy: set[str] = frozenset(), room: int = 3, volume: str | None = "v1") -> Choice:  # type: ignore[assignment]
    return choose(heads, busy=busy, room=room, volume=volume, now=NOW, expiry=EXPIRY)


class TestChoosing:
    def test_due_messages_are_sent(self) -> None:
        assert chosen(head("a"), head("b", due_in=-1)).send == [head("a"), head("b", due_in=-1)]

    def test_a_chat_with_a_message_in_flight_waits(self) -> None:
        assert chosen(head("a"), head("b"), busy={"a"}).send == [head("b")]

    def test_no_more_messages_are_sent_than_there_is_room_for(self) -> None:
        assert chosen(head("a"), head("b"), head("c"), room=2).send == [head("a"), head("b")]

    def test_a_message_with_a_future_time_waits_for_it(self) -> None:
        choice = chosen(head("a", due_in=7), head("b", due_in=5))
        assert (choice.send, choice.wake_after_seconds) == ([], 5)

    def test_an_offline_bot_gets_nothing_until_its_messages_expire(self) -> None:
        choice = chosen(head("a", age=timedelta(minutes=59)), volume=None)
        assert (choice.send, choice.fail, choice.wake_after_seconds) == ([], [], 60)

    @pytest.mark.parametrize("volume", ["v1", None])
    def test_an_expired_message_fails(self, volume: str | None) -> None:
        old = head(age=EXPIRY)
        assert chosen(old, volume=volume).fail == [(old, EXPIRED)]

    def test_an_unknown_outcome_is_requested_only_from_the_same_volume(self) -> None:
        unknown = head(state=MessageState.SENDING, on="v1")
        assert chosen(unknown).send == [unknown]
        assert chosen(unknown, volume="v2").fail == [(unknown, OUTCOME_UNKNOWN)]
        assert chosen(unknown, volume=None).fail == []

    def test_an_unknown_outcome_is_requested_beyond_the_expiry(self) -> None:
        late = head(state=MessageState.SENDING, on="v1", age=EXPIRY)
        assert chosen(late).send == [late]
        assert chosen(late, volume=None).fail == [(late, OUTCOME_UNKNOWN)]
        never = head(state=MessageState.SENDING, on="v1", age=EXPIRY + GRACE)
        assert chosen(never).fail == [(never, OUTCOME_UNKNOWN)]


@given(
    heads=st.lists(
        st.builds(
            head,
            chat=st.sampled_from("abcdef"),
            state=st.sampled_from([MessageState.QUEUED, MessageState.SENDING]),
            age=st.timedeltas(timedelta(), timedelta(hours=40)),
            due_in=st.none() | st.floats(-100, 100),
            on=st.sampled_from(["v1", "v2", None]),
        ),
        unique_by=lambda head: head.chat,
    ),
    busy=st.sets(st.sampled_from("abcdef")),
    room=st.integers(0, 3),
    volume=st.sampled_from(["v1", None]),
)
def test_every_waiting_message_is_considered_again(
    heads: list[Head], busy: set[str], room: int, volume: str | None
) -> None:
    choice = chosen(*heads, busy=busy, room=room, volume=volume)
    failing = [failed for failed, _ in choice.fail]
    assert len(choice.send) <= room
    assert not (volume is None and choice.send)
    assert not {message.chat for message in choice.send + failing} & busy
    assert not set(map(id, choice.send)) & set(map(id, failing))
    for message in choice.send:
        assert message.next_attempt_at is None or message.next_attempt_at <= NOW
        # Never requested from another volume than the one that may have sent it.
        assert message.state is MessageState.QUEUED or message.attempted_on == volume
    left = [message for message in heads if message.chat not in busy and message not in choice.send + failing]
    # Every message that waits has a time, or waits for room.
    assert choice.wake_after_seconds is not None or len(choice.send) == room or not left


def judged(answer: Answer, *, asked_before: bool = False, attempts: int = 1) -> tuple[str, str, float]:
    result = judge(answer, asked_before=asked_before, attempts=attempts)
    return result.state, result.reason, result.delay_seconds


def refused(status: int, code: str, retry: int | None = None) -> Refused:
    return Refused(status=status, code=code, message="why", retry_after_ms=retry)


class TestJudging:
    def test_a_sent_message_is_done(self) -> None:
        assert judged(SENT) == ("sent", "", 0)
        assert judged(Sent(whatsapp_id="W", unconfirmed=True)) == ("sent", "unconfirmed", 0)

    @pytest.mark.parametrize(
        ("answer", "expected"),
        [
            (refused(429, "rate-limited", 1500), ("queued", "rate-limited", 1.5)),
            (refused(429, "rate-limited"), ("queued", "rate-limited", 1.0)),
            (refused(409, "not-online"), ("queued", "not-online", 5.0)),
            (refused(409, "upload-missing"), ("queued", "upload-missing", 1.0)),
            (refused(409, OUTCOME_UNKNOWN), ("failed", OUTCOME_UNKNOWN, 0)),
            (refused(400, "bad-recipient"), ("failed", "bad-recipient", 0)),
            (refused(413, "too-large"), ("failed", "too-large", 0)),
            (refused(502, "send-failed"), ("failed", "send-failed", 0)),
            (refused(504, "timeout"), ("sending", "timeout", 1.0)),
            (refused(504, OUTCOME_UNKNOWN), ("sending", OUTCOME_UNKNOWN, 1.0)),
            (refused(500, "internal-error"), ("sending", "internal-error", 1.0)),
            (refused(401, "unauthorized"), ("queued", "unauthorized", 1.0)),
            (NoResponse(message="", asked=False), ("queued", "bot-unreachable", 1.0)),
            (NoResponse(message="", asked=True), ("sending", "no-answer", 1.0)),
        ],
    )
    def test_each_answer_leads_to_a_state(self, answer: Answer, expected: tuple[str, str, float]) -> None:
        assert judged(answer) == expected

    def test_an_unexpected_answer_is_not_retried_for_ever(self) -> None:
        assert judged(refused(500, "internal-error"), attempts=MAX_ERRORS)[0] == "failed"

    def test_only_the_bot_can_state_that_nothing_was_sent(self) -> None:
        assert judged(NoResponse(message="", asked=False), asked_before=True)[0] == "sending"
        assert judged(refused(401, "unauthorized"), asked_before=True)[0] == "sending"
        assert judged(refused(409, "not-online"), asked_before=True)[0] == "queued"
        assert judged(refused(429, "rate-limited"), asked_before=True)[0] == "queued"

    @given(attempts=st.integers(1, 10_000))
    def test_delays_grow_up_to_a_limit(self, attempts: int) -> None:
        delay = judged(NoResponse(message="", asked=True), attempts=attempts)[2]
        assert delay == min(2.0 ** min(attempts - 1, 20), MAX_DELAY_SECONDS)
