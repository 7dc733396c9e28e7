"""Look up what a request names; ApiError if it does not exist."""

from __future__ import annotations

from dataclasses import dataclass

from whatsapp_simulator.control.errors import ApiError
from whatsapp_simulator.network import Network
from whatsapp_simulator.phones import history
from whatsapp_simulator.protocol.jid import GROUP, NEWSLETTER, Jid
from whatsapp_simulator.world.channels import Channel
from whatsapp_simulator.world.groups import Group
from whatsapp_simulator.world.model import Person
from whatsapp_simulator.world.world import normalize_phone


@dataclass(frozen=True, slots=True)
class Lookup:
    """Looks up people, chats and messages in a network."""

    network: Network

    def person(self, phone: str) -> Person:
        """The person with this phone number."""
        person = self.network.world.get(normalize_phone(phone))
        if person is None:
            raise ApiError(404, "unknown-phone", f"there is no account or contact {phone}")
        return person

    def account(self, phone: str) -> Person:
        """The account with this phone number."""
        person = self.network.world.get(normalize_phone(phone))
        if person is None or not person.account:
            raise ApiError(404, "unknown-account", f"there is no account {phone}")
        return person

    def people(self, phones: list[str]) -> list[Person]:
        """The people with these phone numbers."""
        return [self.person(phone) for phone in phones]

    def chat(self, to: str) -> Person | Group:
        """A person by phone number, or a group by id."""
        return self.group(to) if to.endswith("@" + GROUP) else self.person(to)

    def group(self, group_id: str) -> Group:
        """The group with this id."""
        group = self.network.world.groups.find(Jid(group_id.removesuffix("@" + GROUP), GROUP))
        if group is None:
            raise ApiError(404, "unknown-group", f"there is no group {group_id}")
        return group

    def channel(self, channel_id: str) -> Channel:
        """The channel with this id."""
        channel = self.network.world.channels.find(Jid(channel_id.removesuffix("@" + NEWSLETTER), NEWSLETTER))
        if channel is None:
            raise ApiError(404, "unknown-channel", f"there is no channel {channel_id}")
        return channel

    def message(self, person: Person, message_id: str) -> history.KnownMessage:
        """A message that this person sent or received."""
        known = history.find(self.network.world, person, message_id)
        if known is None:
            raise ApiError(404, "unknown-message", f"{person.phone} has no message {message_id}")
        return known
