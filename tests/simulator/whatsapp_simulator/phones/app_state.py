"""The app state of an account: the phone shares its key with linked devices, and the server stores the patches."""

from __future__ import annotations

import hashlib

from whatsapp_simulator.content import writing
from whatsapp_simulator.network import Network
from whatsapp_simulator.phones import sending
from whatsapp_simulator.protocol import app_state
from whatsapp_simulator.world.model import Device, Person


def share_key_once(network: Network, person: Person, device: Device) -> None:
    """Share the key with a newly linked device, once. The device needs it to learn the name of its account."""
    if not device.welcomed:
        device.welcomed = True
        share_key(network, person, device)


def share_key(network: Network, person: Person, device: Device) -> None:
    """Share the key with a device; creates the key and the first patch if necessary."""
    state, world = person.app_state, network.world
    if not state.key:
        state.key = world.random(32)
        patch = app_state.push_name_patch(person.name, _key_id(person), state.key, now=world.now(), random=world.random)
        state.patches[app_state.CRITICAL] = [patch]
    plaintext = writing.app_state_key(_key_id(person), state.key, world.now())
    sending.send_peer(network, person, device, plaintext)


def patches_after(person: Person, collection: str, version: int) -> list[bytes]:
    """The patches of a collection that are newer than a device's version."""
    patches = person.app_state.patches.get(collection, [])
    return [app_state.with_version(patch, number) for number, patch in enumerate(patches, 1) if number > version]


def push(network: Network, person: Person, collection: str, version: int, patch: bytes) -> bool:
    """Append a device's patch to a collection; False if the device does not have the latest version."""
    patches = person.app_state.patches.setdefault(collection, [])
    if version != len(patches):
        return False
    patches.append(patch)
    network.world.touch(person)
    return True


def _key_id(person: Person) -> bytes:
    return b"\0\0" + hashlib.sha256(person.app_state.key).digest()[:4]
