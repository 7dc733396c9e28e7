"""The double ratchet: the state that two devices share after X3DH."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field

from whatsapp_simulator.protocol.curve import KeyPair, Random, agree, key_pair
from whatsapp_simulator.signal import messages
from whatsapp_simulator.signal.primitives import MessageKeys, SignalError, derive, message_seed, next_chain, next_root

_DISCONTINUITY = b"\xff" * 32
_MAX_SKIP = 2000
_MAX_RECEIVING = 5


@dataclass(frozen=True, slots=True)
class Bundle:
    """The public keys that are needed to start a session with a device."""

    registration_id: int
    identity: bytes
    signed_prekey_id: int
    signed_prekey: bytes
    prekey_id: int | None
    prekey: bytes | None


@dataclass(frozen=True, slots=True)
class Opening:
    """The data that every "pkmsg" contains until the other side has answered."""

    registration_id: int
    prekey_id: int | None
    signed_prekey_id: int
    base_key: bytes


@dataclass(slots=True)
class ReceivingChain:
    """The chain of messages that the other side encrypts with one ratchet key; skipped: counter → key seed."""

    ratchet: bytes
    key: bytes
    index: int = 0
    skipped: dict[int, bytes] = field(default_factory=dict)


@dataclass(slots=True)
class Ratchet:
    """The state of one session. `base_key` distinguishes sessions with the same device."""

    base_key: bytes
    local_identity: bytes
    remote_identity: bytes
    root: bytes
    sender: KeyPair
    sending_key: bytes
    sending_index: int = 0
    previous_index: int = 0
    receiving: list[ReceivingChain] = field(default_factory=list)
    opening: Opening | None = None

    def encrypt(self, plaintext: bytes) -> tuple[str, bytes]:
        """Encrypt the next message; returns ("msg" or "pkmsg", bytes)."""
        keys = MessageKeys.from_seed(message_seed(self.sending_key))
        body = messages.body(self.sender.public, self.sending_index, self.previous_index, keys.encrypt(plaintext))
        message = body + keys.authenticate(self.local_identity, self.remote_identity, body)
        self.sending_key = next_chain(self.sending_key)
        self.sending_index += 1
        if self.opening is None:
            return "msg", message
        start = self.opening
        wrapped = messages.PreKeyMessage(
            start.registration_id,
            start.prekey_id,
            start.signed_prekey_id,
            start.base_key,
            self.local_identity,
            message,
        )
        return "pkmsg", wrapped.serialized

    def decrypt(self, message: messages.SignalMessage, random: Random) -> bytes:
        """Decrypt a message of this session. On SignalError the state is unchanged."""
        chain = next((chain for chain in self.receiving if chain.ratchet == message.ratchet), None)
        root = b""
        if chain is None:
            root, key = next_root(self.root, self.sender.agree(message.ratchet))
            chain = ReceivingChain(message.ratchet, key)
        index, key, skipped = self._advance(chain, message.counter)
        seed = skipped.pop(message.counter, None)
        if seed is None:
            raise SignalError(f"the key of message {message.counter} was already used")
        keys = MessageKeys.from_seed(seed)
        expected = keys.authenticate(self.remote_identity, self.local_identity, message.body)
        if not hmac.compare_digest(expected, message.mac):
            raise SignalError("the authentication code is wrong")
        plaintext = keys.decrypt(message.ciphertext)
        chain.index, chain.key, chain.skipped = index, key, skipped
        if root:
            self._dh_step(root, chain, random)
        self.opening = None
        return plaintext

    @staticmethod
    def _advance(chain: ReceivingChain, counter: int) -> tuple[int, bytes, dict[int, bytes]]:
        if counter - chain.index > _MAX_SKIP:
            raise SignalError("too many messages are missing before this one")
        index, key, skipped = chain.index, chain.key, dict(chain.skipped)
        while index <= counter:
            skipped[index] = message_seed(key)
            key = next_chain(key)
            index += 1
        while len(skipped) > _MAX_SKIP:
            del skipped[next(iter(skipped))]
        return index, key, skipped

    def _dh_step(self, root: bytes, chain: ReceivingChain, random: Random) -> None:
        self.receiving = [chain, *self.receiving][:_MAX_RECEIVING]
        self.sender = key_pair(random(32))
        self.root, self.sending_key = next_root(root, self.sender.agree(chain.ratchet))
        self.previous_index = max(self.sending_index - 1, 0)
        self.sending_index = 0


def initiate(identity: KeyPair, registration_id: int, bundle: Bundle, random: Random) -> Ratchet:
    """Start a session with the owner of a bundle."""
    base, sender = key_pair(random(32)), key_pair(random(32))
    secrets = [
        identity.agree(bundle.signed_prekey),
        base.agree(bundle.identity),
        base.agree(bundle.signed_prekey),
        *([base.agree(bundle.prekey)] if bundle.prekey else []),
    ]
    root, receiving_key = _master(secrets)
    root, sending_key = next_root(root, sender.agree(bundle.signed_prekey))
    return Ratchet(
        base.public,
        identity.public,
        bundle.identity,
        root,
        sender,
        sending_key,
        receiving=[ReceivingChain(bundle.signed_prekey, receiving_key)],
        opening=Opening(registration_id, bundle.prekey_id, bundle.signed_prekey_id, base.public),
    )


def respond(
    identity: KeyPair, signed_prekey: KeyPair, prekey: KeyPair | None, message: messages.PreKeyMessage
) -> Ratchet:
    """The session that another device started with this "pkmsg"."""
    secrets = [
        signed_prekey.agree(message.identity),
        identity.agree(message.base_key),
        signed_prekey.agree(message.base_key),
        *([agree(prekey.private, message.base_key)] if prekey else []),
    ]
    root, sending_key = _master(secrets)
    return Ratchet(message.base_key, identity.public, message.identity, root, signed_prekey, sending_key)


def _master(secrets: list[bytes]) -> tuple[bytes, bytes]:
    both = derive(_DISCONTINUITY + b"".join(secrets), b"WhisperText", 64)
    return both[:32], both[32:]
