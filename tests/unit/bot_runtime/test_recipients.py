"""The recipient of a message, and the author of the message it quotes."""

import pytest

from bot_runtime.contract import Content, Poll, Quote, Reaction, SendRequest, Text
from bot_runtime.errors import ApiError
from bot_runtime.outbound.recipients import Recipients
from bot_runtime.whatsapp.jid import Address, parse_address
from bot_runtime.whatsapp.outgoing import OutgoingMessage

ADA, GROUP, OWN = "491700000001", "120363012345678901@g.us", Address("491700000099", "s.whatsapp.net")


def outgoing(to: str, content: Content, quote: Quote | None = None, own: Address | None = OWN) -> OutgoingMessage:
    known = {("KNOWN", f"{ADA}@s.whatsapp.net"): "what it said"}
    recipients = Recipients(own=lambda: own, recall=lambda message_id, chat: known.get((message_id, str(chat)), ""))
    return recipients.outgoing(SendRequest(client_id="a", to=to, content=content, quote=quote))


def refused(to: str, content: Content, quote: Quote | None = None, own: Address | None = OWN) -> tuple[int, str]:
    with pytest.raises(ApiError) as refused:
        outgoing(to, content, quote, own)
    return refused.value.status, refused.value.code


@pytest.mark.parametrize(
    "text",
    [
        "491701234567",
        "+491701234567",
        "00491701234567",
        "+49 170 1234567",
        "+49 (0) 170 / 123-45.67",
        "\u202a+49 170 1234567\u202c",
        "+49\u00a0170\u20111234567",
        "491701234567@c.us",
        "+491701234567@c.us",
        "491701234567@s.whatsapp.net",
        "491701234567:12@s.whatsapp.net",
        "491701234567@S.WhatsApp.Net",
        " 491701234567 ",
    ],
)
def test_a_number_can_be_written_in_many_ways(text: str) -> None:
    assert str(parse_address(text)) == "491701234567@s.whatsapp.net"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "@",
        "0170 1234567",
        "12345",
        "4917012345671234",
        "ada",
        "٤٩١٧٠١٢٣٤٥٦٧",
        "ada@s.whatsapp.net",
        "491701234567@example.org",
        "491701234567@s.whatsapp.net@g.us",
        "491701234567\r\n@c.us\x00",
        "status@broadcast",
        "../../etc@g.us",
        "491701234567,491701234568",
        "4" * 5000,
    ],
)
def test_invalid_recipients_are_refused(text: str) -> None:
    assert refused(text, Text(text="x")) == (400, "bad-recipient")


def test_recipients_are_people_and_groups_but_not_channels() -> None:
    for chat in ("123456789012345@lid", GROUP, "491701234567-1400000000@g.us"):
        assert str(outgoing(chat, Text(text="x")).chat) == chat
    assert refused("120363012345678901@newsletter", Text(text="x")) == (400, "bad-recipient")


def test_in_a_private_chat_the_default_sender_is_the_other_side() -> None:
    target = outgoing(ADA, Text(text="x"), Quote(message_id="M")).target
    assert target is not None
    assert (str(target.author), target.mine) == (f"{ADA}@s.whatsapp.net", False)
    for me in ("me", "+49 170 0000099"):
        target = outgoing(ADA, Text(text="x"), Quote(message_id="M", sender=me)).target
        assert target is not None
        assert (target.author, target.mine) == (OWN, True)


def test_in_a_group_the_sender_is_required() -> None:
    reaction = Reaction(message_id="M", emoji="👍")
    assert refused(GROUP, reaction) == (400, "bad-sender")
    assert refused(GROUP, Text(text="x"), Quote(message_id="M")) == (400, "bad-sender")
    target = outgoing(GROUP, Reaction(message_id="M", emoji="👍", sender="123456789012345@lid")).target
    assert target is not None
    assert str(target.author) == "123456789012345@lid"


def test_a_group_cannot_be_a_sender() -> None:
    assert refused(ADA, Reaction(message_id="M", emoji="", sender=GROUP)) == (400, "bad-sender")


def test_the_text_of_a_quote_is_given_or_looked_up() -> None:
    for quote, text in (
        (Quote(message_id="KNOWN"), "what it said"),
        (Quote(message_id="KNOWN", text="given"), "given"),
        (Quote(message_id="OTHER"), ""),
    ):
        target = outgoing(ADA, Text(text="x"), quote).target
        assert target is not None
        assert target.text == text


def test_a_bot_without_an_account_cannot_be_a_sender() -> None:
    assert refused(ADA, Text(text="x"), Quote(message_id="M", sender="me"), own=None) == (409, "wrong-state")


def test_an_invalid_poll_is_refused() -> None:
    assert refused(ADA, Poll(question="?", options=["a", "a"])) == (400, "bad-poll")
    assert refused(ADA, Poll(question="?", options=["a", "b"], selectable=3)) == (400, "bad-poll")


def test_a_reaction_cannot_quote() -> None:
    assert refused(ADA, Reaction(message_id="M", emoji="👍"), Quote(message_id="M")) == (400, "bad-quote")
