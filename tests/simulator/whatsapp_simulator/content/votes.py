"""Poll votes, encrypted with the secret of the poll: AES-GCM with a key per poll, author and voter."""

from __future__ import annotations

import hashlib

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from whatsapp_simulator.content.model import Poll, Vote
from whatsapp_simulator.protocol import wire
from whatsapp_simulator.protocol.curve import Random
from whatsapp_simulator.protocol.jid import Jid

_USE = b"Poll Vote"


class VoteError(ValueError):
    """A vote cannot be decrypted: wrong poll or wrong secret."""


def seal(poll: Poll, poll_id: str, author: Jid, voter: Jid, selected: list[str], random: Random) -> Vote:
    """Encrypt the vote of `voter` for these options of a poll by `author`."""
    plaintext = wire.encode(*((1, _digest(option)) for option in selected))
    iv = random(12)
    payload = _cipher(poll, poll_id, author, voter).encrypt(iv, plaintext, _bound_to(poll_id, voter))
    return Vote(payload, iv, selected)


def unseal(vote: Vote, poll: Poll, poll_id: str, author: Jid, voter: Jid) -> Vote:
    """The vote with its selected options; VoteError if it is not for this poll."""
    try:
        plaintext = _cipher(poll, poll_id, author, voter).decrypt(vote.iv, vote.payload, _bound_to(poll_id, voter))
        digests = wire.decode(plaintext).repeated(1)
    except (InvalidTag, ValueError) as exc:
        raise VoteError(f"the vote does not match the poll: {exc}") from None
    return Vote(vote.payload, vote.iv, [option for option in poll.options if _digest(option) in digests])


def _digest(option: str) -> bytes:
    return hashlib.sha256(option.encode()).digest()


def _bound_to(poll_id: str, voter: Jid) -> bytes:
    return f"{poll_id}\0{voter.bare()}".encode()


def _cipher(poll: Poll, poll_id: str, author: Jid, voter: Jid) -> AESGCM:
    info = f"{poll_id}{author.bare()}{voter.bare()}".encode() + _USE
    return AESGCM(HKDF(SHA256(), 32, None, info).derive(poll.secret))
