"""A phone's Signal identity: its keys, prekeys and sessions with other devices."""

from __future__ import annotations

from dataclasses import dataclass, field

from whatsapp_simulator.protocol.curve import KeyPair, Random, key_pair
from whatsapp_simulator.protocol.jid import Jid
from whatsapp_simulator.signal import messages, ratchet
from whatsapp_simulator.signal.primitives import SignalError, pad, unpad
from whatsapp_simulator.signal.sender_keys import OwnSenderKey, ReceivedSenderKey

_SIGNED_PREKEY_ID = 1
_MAX_SESSIONS = 10
_MAX_UNUSED_PREKEYS = 500
#: Number of chains stored per sender; messages of older ones may still arrive.
_MAX_CHAINS = 3


@dataclass(frozen=True, slots=True)
class PublishedKeys:
    """A bundle and the signature of its signed prekey."""

    bundle: ratchet.Bundle
    signature: bytes


@dataclass(slots=True)
class SignalDevice:
    """The keys of one phone. `sessions`: address → ratchets; the first one is used for sending.

    sender_keys: group → the phone's own chain; received_keys: group and address → chains, newest first.
    """

    identity: KeyPair
    registration_id: int
    signed_prekey: KeyPair
    prekeys: dict[int, KeyPair] = field(default_factory=dict)
    next_prekey_id: int = 1
    sessions: dict[str, list[ratchet.Ratchet]] = field(default_factory=dict)
    sender_keys: dict[str, OwnSenderKey] = field(default_factory=dict)
    received_keys: dict[str, list[ReceivedSenderKey]] = field(default_factory=dict)

    @classmethod
    def create(cls, random: Random) -> SignalDevice:
        """Create a phone with new keys."""
        registration_id = int.from_bytes(random(2), "big") % 16380 + 1
        return cls(key_pair(random(32)), registration_id, key_pair(random(32)))

    def publish(self, random: Random) -> PublishedKeys:
        """A bundle with a new one-time prekey."""
        prekey_id, prekey = self.next_prekey_id, key_pair(random(32))
        self.next_prekey_id = prekey_id % 0xFFFFFE + 1
        self.prekeys[prekey_id] = prekey
        if len(self.prekeys) > _MAX_UNUSED_PREKEYS:
            del self.prekeys[next(iter(self.prekeys))]
        bundle = ratchet.Bundle(
            self.registration_id,
            self.identity.public,
            _SIGNED_PREKEY_ID,
            self.signed_prekey.public,
            prekey_id,
            prekey.public,
        )
        return PublishedKeys(bundle, self.identity.sign(self.signed_prekey.serialized, random))

    def has_session(self, address: Jid) -> bool:
        """Whether a message can be encrypted for this device without a bundle."""
        return bool(self.sessions.get(str(address)))

    def start_session(self, address: Jid, bundle: ratchet.Bundle, random: Random) -> None:
        """Start a new session with a device and use it for sending from now on."""
        self._promote(address, ratchet.initiate(self.identity, self.registration_id, bundle, random))

    def delete_sessions(self, address: Jid) -> None:
        """Delete the sessions with a device that no longer exists."""
        self.sessions.pop(str(address), None)
        for key in self.sender_keys.values():
            if str(address) in key.shared:
                key.shared.remove(str(address))

    def sender_key(self, chat: str, random: Random) -> OwnSenderKey:
        """The phone's own chain for a group; created if necessary."""
        if chat not in self.sender_keys:
            self.sender_keys[chat] = OwnSenderKey.create(random)
        return self.sender_keys[chat]

    def store_sender_key(self, chat: str, address: Jid, distribution: bytes) -> None:
        """Store the chain that a device distributed for a group; SignalError if it is malformed."""
        received = ReceivedSenderKey.parse(distribution)
        chains = self.received_keys.setdefault(f"{chat} {address}", [])
        if chains and chains[0].id == received.id:
            # A sender may distribute the same chain several times; its skipped message keys must not be lost.
            return
        self.received_keys[f"{chat} {address}"] = [received, *chains][:_MAX_CHAINS]

    def decrypt_for_group(self, chat: str, address: Jid, data: bytes) -> bytes:
        """Decrypt a device's message to a group ("skmsg"); SignalError if none of its chains matches."""
        reason = SignalError(f"no sender key of {address} for {chat}")
        for chain in self.received_keys.get(f"{chat} {address}", ()):
            try:
                return chain.decrypt(data)
            except SignalError as exc:
                reason = exc
        raise reason

    def encrypt(self, address: Jid, plaintext: bytes, random: Random) -> tuple[str, bytes]:
        """Encrypt for a device with an existing session; returns ("msg" or "pkmsg", bytes)."""
        return self.sessions[str(address)][0].encrypt(pad(plaintext, random(1)[0] % 15 + 1))

    def decrypt(self, address: Jid, kind: str, data: bytes, random: Random) -> bytes:
        """Decrypt a device's message of this kind ("msg" or "pkmsg"); SignalError if no session matches."""
        if kind == "pkmsg":
            opening = messages.parse_prekey_message(data)
            return unpad(self._decrypt_opening(address, opening, random))
        if kind != "msg":
            raise SignalError(f"unknown kind of message: {kind!r}")
        return unpad(self._decrypt_inside(address, messages.parse_message(data), random))

    def _decrypt_opening(self, address: Jid, opening: messages.PreKeyMessage, random: Random) -> bytes:
        inner = messages.parse_message(opening.message)
        if any(state.base_key == opening.base_key for state in self.sessions.get(str(address), ())):
            return self._decrypt_inside(address, inner, random)
        if opening.signed_prekey_id != _SIGNED_PREKEY_ID:
            raise SignalError(f"no signed prekey {opening.signed_prekey_id}")
        prekey = None
        if opening.prekey_id is not None:
            prekey = self.prekeys.get(opening.prekey_id)
            if prekey is None:
                raise SignalError(f"no prekey {opening.prekey_id}: it was already used")
        state = ratchet.respond(self.identity, self.signed_prekey, prekey, opening)
        plaintext = state.decrypt(inner, random)
        self._promote(address, state)
        if opening.prekey_id is not None:
            del self.prekeys[opening.prekey_id]
        return plaintext

    def _decrypt_inside(self, address: Jid, message: messages.SignalMessage, random: Random) -> bytes:
        reason = SignalError(f"no session with {address}")
        for state in self.sessions.get(str(address), []):
            try:
                plaintext = state.decrypt(message, random)
            except SignalError as exc:
                reason = exc
                continue
            self._promote(address, state)
            return plaintext
        raise reason

    def _promote(self, address: Jid, state: ratchet.Ratchet) -> None:
        others = [other for other in self.sessions.get(str(address), []) if other is not state]
        self.sessions[str(address)] = [state, *others][:_MAX_SESSIONS]
