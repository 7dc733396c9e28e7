"""Message content: protobuf, files and votes."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whatsapp_simulator.content import files, reading, votes, writing
from whatsapp_simulator.content.model import (
    MEDIA_KINDS,
    Card,
    Content,
    Kind,
    Location,
    Media,
    Poll,
    Quote,
    Target,
    Vote,
)
from whatsapp_simulator.protocol import wire
from whatsapp_simulator.protocol.jid import LID, Jid

ANNA, BERT = Jid("1", LID), Jid("2", LID, 3)
MEDIA = Media("/v/1?x", "https://host/v/1?x", "image/png", 3, b"s" * 32, b"k" * 32, b"e" * 32)
POLL = Poll("Tea?", ["yes", "no", "later"], 2, b"p" * 32)
TARGET = Target("ID", from_me=False, chat="1@g.us", participant="2@lid")

CONTENTS = [
    Content(Kind.TEXT, "grüße"),
    Content(Kind.TEXT, "yes", quote=Quote("ID", "1@lid", "really?"), mentions=["1@lid", "2@lid"]),
    Content(Kind.IMAGE, "a caption", MEDIA),
    Content(Kind.IMAGE, "", MEDIA, view_once=True),
    Content(Kind.VIDEO, "moving", replace(MEDIA, seconds=5, animated=True)),
    Content(Kind.AUDIO, "", replace(MEDIA, seconds=5, voice=True)),
    Content(Kind.DOCUMENT, "paper", replace(MEDIA, file_name="a.pdf"), quote=Quote("ID", "1@lid", "which?")),
    Content(Kind.STICKER, "", replace(MEDIA, animated=True)),
    Content(Kind.LOCATION, location=Location(48.2, -16.3, "Vienna", "Ring 1")),
    Content(Kind.CONTACT, cards=[Card("Bert", "BEGIN:VCARD")]),
    Content(Kind.CONTACT, "2 contacts", cards=[Card("Bert", "BEGIN:VCARD"), Card("Cleo", "BEGIN:VCARD")]),
    Content(Kind.POLL, "Tea?", poll=POLL),
    Content(Kind.POLL, "Tea?", poll=replace(POLL, selectable=1)),
    Content(Kind.POLL_VOTE, vote=Vote(b"payload", b"iv"), target=TARGET),
    Content(Kind.REACTION, "👍", target=TARGET),
    Content(Kind.EDIT, "the text", target=replace(TARGET, from_me=True)),
    Content(Kind.REVOKE, target=TARGET),
]


@pytest.mark.parametrize("content", CONTENTS, ids=lambda content: content.kind)
def test_writing_and_reading_round_trip(content: Content) -> None:
    assert reading.read(writing.write(content, now=1_700_000_000)) == content


@pytest.mark.parametrize("wrapper", [40, 53, 58])
def test_wrapped_messages_are_unwrapped(wrapper: int) -> None:
    inner = wire.encode((1, "inside"))

    assert reading.read(wire.encode((wrapper, wire.encode((1, inner))))) == Content(Kind.TEXT, "inside")


def test_the_depth_of_wrapping_is_limited() -> None:
    message = wire.encode((1, "inside"))
    for _ in range(50):
        message = wire.encode((40, wire.encode((1, message))))

    assert reading.read(message) == Content(Kind.OTHER)


def test_messages_for_clients_only_have_no_content() -> None:
    distribution = writing.with_sender_key(b"", "1@g.us", b"key")

    assert reading.read(distribution) is None
    assert reading.sender_key(distribution) == b"key"
    assert reading.read(writing.app_state_key(b"id", b"key", 1)) is None
    assert reading.read(b"") is None


def test_an_unknown_kind_is_reported_as_other() -> None:
    assert reading.read(wire.encode((99, b""))) == Content(Kind.OTHER)


def test_requests_for_app_state_keys_are_recognized() -> None:
    assert reading.requests_app_state_keys(wire.encode((12, wire.encode((2, 7)))))
    assert not reading.requests_app_state_keys(wire.encode((1, "text")))


@pytest.mark.parametrize(
    ("content", "kind", "media_type", "edit"),
    [
        (CONTENTS[0], "text", "", ""),
        (CONTENTS[2], "media", "image", ""),
        (CONTENTS[4], "media", "gif", ""),
        (CONTENTS[5], "media", "ptt", ""),
        (CONTENTS[9], "media", "vcard", ""),
        (CONTENTS[11], "poll", "", ""),
        (Content(Kind.REACTION, "", target=TARGET), "reaction", "", "7"),
        (Content(Kind.EDIT, "x", target=TARGET), "text", "", "1"),
        (Content(Kind.REVOKE, target=TARGET), "text", "", "8"),
        (Content(Kind.REVOKE, target=replace(TARGET, from_me=True)), "text", "", "7"),
    ],
)
def test_stanza_attributes_match_the_content(content: Content, kind: str, media_type: str, edit: str) -> None:
    described = (writing.stanza_type(content), writing.media_type(content), writing.edit_attribute(content))

    assert described == (kind, media_type, edit)


@settings(max_examples=30, deadline=None)
@given(st.binary(max_size=2000), st.sampled_from(MEDIA_KINDS))
def test_a_file_is_decrypted_and_verified(data: bytes, kind: Kind) -> None:
    key = os.urandom(32)
    stored = files.encrypt(data, key, kind)
    enc_sha256 = hashlib.sha256(stored).digest()
    media = replace(MEDIA, key=key, enc_sha256=enc_sha256, sha256=hashlib.sha256(data).digest(), size=len(data))

    assert files.decrypt(stored, media, kind) == data
    wrong = [
        (stored[:-1] + bytes((stored[-1] ^ 1,)), media, "SHA-256 of the stored file"),
        (stored, replace(media, key=b"x" * 32), "authentication code is wrong"),
        (stored, replace(media, sha256=b"x" * 32), "SHA-256 of the decrypted file"),
        (stored, replace(media, size=len(data) + 1), f"has {len(data)} bytes"),
    ]
    for found, media, reason in wrong:
        with pytest.raises(files.FileError, match=reason):
            files.decrypt(found, media, kind)


def test_files_of_channels_are_not_encrypted() -> None:
    media = replace(MEDIA, key=b"", enc_sha256=b"", sha256=hashlib.sha256(b"abc").digest())

    assert files.decrypt(b"abc", media, Kind.IMAGE) == b"abc"


def test_a_vote_is_decrypted_only_with_its_own_poll() -> None:
    sealed = votes.seal(POLL, "ID", ANNA, BERT, ["later", "yes"], os.urandom)

    unread = Vote(sealed.payload, sealed.iv)
    assert votes.unseal(unread, POLL, "ID", ANNA, BERT).selected == ["yes", "later"]
    for poll, poll_id, author, voter in (
        (replace(POLL, secret=b"x" * 32), "ID", ANNA, BERT),
        (POLL, "other", ANNA, BERT),
        (POLL, "ID", BERT, BERT),
        (POLL, "ID", ANNA, ANNA),
    ):
        with pytest.raises(votes.VoteError):
            votes.unseal(unread, poll, poll_id, author, voter)
