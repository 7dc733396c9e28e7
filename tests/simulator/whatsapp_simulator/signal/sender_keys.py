"""Sender keys: a device encrypts a group message once, with a chain that it has sent to every member."""

from __future__ import annotations

from dataclasses import dataclass, field

from whatsapp_simulator.protocol import wire
from whatsapp_simulator.protocol.curve import KEY_TYPE, KeyPair, Random, key_pair, verify
from whatsapp_simulator.signal.primitives import (
    MessageKeys,
    SignalError,
    derive,
    message_seed,
    next_chain,
    pad,
    unpad,
)

_VERSION = b"\x33"
_SIGNATURE_SIZE = 64
_MAX_SKIP = 2000


@dataclass(slots=True)
class OwnSenderKey:
    """A phone's own chain for a group. shared: the addresses of the devices that have it."""

    id: int
    chain: bytes
    signing: KeyPair
    iteration: int = 0
    shared: list[str] = field(default_factory=list)

    @classmethod
    def create(cls, random: Random) -> OwnSenderKey:
        """Create a chain."""
        return cls(int.from_bytes(random(4), "big") >> 1, random(32), key_pair(random(32)))

    def distribution(self) -> bytes:
        """The message that lets others decrypt from the current iteration on."""
        fields = wire.encode((1, self.id), (2, self.iteration), (3, self.chain), (4, self.signing.serialized))
        return _VERSION + fields

    def encrypt(self, plaintext: bytes, random: Random) -> bytes:
        """Encrypt the next message ("skmsg")."""
        ciphertext = _keys(message_seed(self.chain)).encrypt(pad(plaintext, random(1)[0] % 15 + 1))
        body = _VERSION + wire.encode((1, self.id), (2, self.iteration), (3, ciphertext))
        self.chain, self.iteration = next_chain(self.chain), self.iteration + 1
        return body + self.signing.sign(body, random)


@dataclass(slots=True)
class ReceivedSenderKey:
    """The chain of another device; skipped: iteration → key seed of a message that has not arrived yet."""

    id: int
    chain: bytes
    iteration: int
    signing: bytes
    skipped: dict[int, bytes] = field(default_factory=dict)

    @classmethod
    def parse(cls, distribution: bytes) -> ReceivedSenderKey:
        """Parse the result of `OwnSenderKey.distribution`; SignalError if it is malformed."""
        fields = _fields(distribution)
        key = fields.raw(4)
        if len(key) != 33 or key[:1] != KEY_TYPE or len(fields.raw(3)) != 32:
            raise SignalError("a sender key does not have the expected format")
        return cls(fields.number(1), fields.raw(3), fields.number(2), key[1:])

    def decrypt(self, data: bytes) -> bytes:
        """Decrypt a "skmsg"; SignalError, without a state change, if it is from another chain or was already read."""
        body, signature = data[:-_SIGNATURE_SIZE], data[-_SIGNATURE_SIZE:]
        fields = _fields(body)
        if fields.number(1) != self.id:
            raise SignalError(f"no sender key {fields.number(1)}")
        if len(signature) != _SIGNATURE_SIZE or not verify(self.signing, body, signature):
            raise SignalError("the signature is wrong")
        return unpad(_keys(self._seed(fields.number(2))).decrypt(fields.raw(3)))

    def _seed(self, iteration: int) -> bytes:
        if iteration < self.iteration:
            seed = self.skipped.pop(iteration, None)
            if seed is None:
                raise SignalError(f"the key of message {iteration} was already used")
            return seed
        if iteration - self.iteration > _MAX_SKIP:
            raise SignalError("too many messages are missing before this one")
        while self.iteration < iteration:
            self.skipped[self.iteration] = message_seed(self.chain)
            self.chain, self.iteration = next_chain(self.chain), self.iteration + 1
        while len(self.skipped) > _MAX_SKIP:
            del self.skipped[next(iter(self.skipped))]
        seed = message_seed(self.chain)
        self.chain, self.iteration = next_chain(self.chain), self.iteration + 1
        return seed


def _keys(seed: bytes) -> MessageKeys:
    keys = derive(seed, b"WhisperGroup", 48)
    return MessageKeys(cipher=keys[16:], mac=b"", iv=keys[:16])


def _fields(data: bytes) -> wire.Fields:
    if data[:1] != _VERSION:
        raise SignalError("not a message of Signal version 3")
    try:
        return wire.decode(data[1:])
    except wire.WireError as exc:
        raise SignalError(f"malformed message: {exc}") from exc
