"""All people in the network, by phone number or hidden address, and their groups, channels and files."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from whatsapp_simulator.protocol.curve import Random
from whatsapp_simulator.protocol.jid import LID, USER, Jid
from whatsapp_simulator.signal.device import SignalDevice
from whatsapp_simulator.world.channels import Channels
from whatsapp_simulator.world.files import Files
from whatsapp_simulator.world.groups import Groups
from whatsapp_simulator.world.model import Person, lid_of

_PHONE = re.compile(r"[1-9][0-9]{6,14}")


class PhoneError(ValueError):
    """Not an international phone number."""


def normalize_phone(text: str) -> str:
    """A phone number reduced to its digits; PhoneError unless it is an international number (7 to 15 digits)."""
    digits = re.sub(r"[ ()./-]", "", text.strip()).removeprefix("+")
    if not _PHONE.fullmatch(digits):
        raise PhoneError(f"{text!r} is not an international phone number (7 to 15 digits, not starting with 0)")
    return digits


class World:
    """The people; call `touch` after changing one. clock: returns Unix seconds."""

    def __init__(
        self,
        *,
        random: Random,
        clock: Callable[[], float],
        people: Iterable[Person] = (),
        groups: Groups | None = None,
        channels: Channels | None = None,
        files: Files | None = None,
    ) -> None:
        self.random = random
        self.clock = clock
        self.groups = groups or Groups()
        self.channels = channels or Channels()
        self.files = files or Files()
        self._people = {person.phone: person for person in people}
        self._phones_by_lid = {person.lid: person.phone for person in self._people.values()}
        self._touched: dict[str, Person] = {}

    def __iter__(self) -> Iterator[Person]:
        return iter(list(self._people.values()))

    def get(self, phone: str) -> Person | None:
        """The person with this phone number."""
        return self._people.get(phone)

    def find(self, address: Jid | None) -> Person | None:
        """The person with this phone-number or hidden address."""
        if address is None:
            return None
        if address.server == LID:
            return self._people.get(self._phones_by_lid.get(address.user, ""))
        return self._people.get(address.user) if address.server in (USER, "c.us") else None

    def account(self, phone: str, name: str | None = None) -> Person:
        """The person with this number as an account that bots can be linked to; created if necessary."""
        person = self._person(phone, name)
        person.account = True
        return person

    def contact(self, phone: str, name: str | None = None) -> Person:
        """The person with this number as a contact; created if necessary."""
        person = self._person(phone, name)
        person.contact = True
        return person

    def touch(self, person: Person) -> None:
        """Mark a person as changed."""
        self._touched[person.phone] = person

    def take_touched(self) -> list[Person]:
        """The people who changed since the last call."""
        touched, self._touched = self._touched, {}
        return list(touched.values())

    def now(self) -> int:
        """The time in whole Unix seconds, the format of stanzas."""
        return int(self.clock())

    def message_id(self) -> str:
        """Generate a message id."""
        return "3EB0" + self.random(9).hex().upper()

    def chat_id(self) -> str:
        """Generate the user part of the address of a new group or channel: 18 digits."""
        return "120363" + str(int.from_bytes(self.random(8), "big") % 10**12).zfill(12)

    def _person(self, phone: str, name: str | None) -> Person:
        person = self._people.get(phone)
        if person is None:
            person = Person(phone, name or f"Person {phone[-4:]}", SignalDevice.create(self.random))
            self._people[phone] = person
            self._phones_by_lid[lid_of(phone)] = phone
        elif name:
            person.name = name
        self.touch(person)
        return person
