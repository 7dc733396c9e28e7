"""Profile pictures."""

from __future__ import annotations

from whatsapp_simulator.network import Network
from whatsapp_simulator.world.files import file_location
from whatsapp_simulator.world.model import Person


def set_picture(network: Network, person: Person, picture: bytes) -> str:
    """Set a profile picture (empty bytes: remove it); returns its id, empty for none."""
    world = network.world
    if person.profile.picture_id:
        world.files.remove(_path(person))
    person.profile.picture = picture
    person.profile.picture_id = str(int.from_bytes(world.random(4), "big")) if picture else ""
    if picture:
        world.files.put(_path(person), picture)
    world.touch(person)
    return person.profile.picture_id


def picture_location(network: Network, person: Person) -> dict[str, str]:
    """The location of the profile picture on the media host."""
    return file_location(network.media_host, _path(person))


def _path(person: Person) -> str:
    return f"/profile-photos/{person.profile.picture_id}.jpg"
