"""The network: its people, their connections, and the delivery of stanzas.

All code here runs in one event loop without awaiting, so each stanza is handled completely before the next one.
Code that awaits (linking a device) is in `pairing`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace

from whatsapp_simulator.notifier import Notifier
from whatsapp_simulator.protocol import binary
from whatsapp_simulator.protocol.binary import Attrs, Node
from whatsapp_simulator.protocol.jid import SERVER, Jid
from whatsapp_simulator.server.link import Link
from whatsapp_simulator.tokens import Tokens
from whatsapp_simulator.world.failures import FailureRegistry
from whatsapp_simulator.world.model import Device, Pending, Person
from whatsapp_simulator.world.world import World

#: A stanza is discarded after this many deliveries without confirmation.
_MAX_DELIVERIES = 50
_COUNTED = ("message", "notification", "receipt")

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Network:
    """The shared state of all links. links: (phone, device number) → its open link."""

    world: World
    tokens: Tokens
    failures: FailureRegistry
    links: dict[tuple[str, int], Link] = field(default_factory=dict)
    unlinked: set[Link] = field(default_factory=set)
    #: Notifies of new items in inboxes, receipts and chat states (by phone number) and of reactions (by channel).
    notifier: Notifier = field(default_factory=Notifier)
    #: The host for uploads and downloads, and the token that authorizes uploads.
    media_host: str = "media.whatsapp.net"
    media_auth: str = "simulator"

    def link_of(self, person: Person, device: Device) -> Link | None:
        """The open link of a device."""
        return self.links.get((person.phone, device.number))

    def links_of(self, phone: str | None) -> list[Link]:
        """The open links of an account; None: all links, including those of unlinked clients."""
        if phone is None:
            return [*self.links.values(), *self.unlinked]
        return [link for (owner, _), link in self.links.items() if owner == phone]

    def deliver(self, person: Person, device: Device, node: Node, *, ack_confirms: bool = False) -> None:
        """Send a stanza to a device: now if it is connected, and again at each login until it confirms it.

        ack_confirms: an ack confirms it, even if it is a message (messages otherwise need a receipt).
        """
        key = pending_key(node.tag, node)
        device.pending.pop(key, None)
        device.pending[key] = Pending(binary.encode(node), ack_confirms=ack_confirms)
        self.world.touch(person)
        link = self.link_of(person, device)
        if link is not None and link.active:
            link.delivered.discard(key)
            self._send_pending(link, key, node)

    def confirm(self, link: Link, key: str) -> None:
        """A device has confirmed a stanza."""
        if link.person and link.device and link.device.pending.pop(key, None):
            self.world.touch(link.person)

    def activate(self, link: Link) -> None:
        """The client is ready: send it what arrived while it was offline, and from now on every new stanza."""
        if link.device is None or link.active:
            return
        link.active = True
        waiting = [(key, binary.decode(item.stanza, self.tokens)) for key, item in link.device.pending.items()]
        if waiting:
            counts = {tag: sum(node.tag == tag for _, node in waiting) for tag in _COUNTED}
            attrs = {"count": len(waiting), "appdata": 0, **counts}
            preview = Node("offline_preview", {name: str(value) for name, value in attrs.items()})
            link.send(Node("ib", {"from": SERVER}, [preview]))
        for key, node in waiting:
            self._send_pending(link, key, replace(node, attrs={**node.attrs, "offline": "0"}))
        link.send(Node("ib", {"from": SERVER}, [Node("offline", {"count": str(len(waiting))})]))

    def flush(self, link: Link) -> None:
        """Send what was not sent while the link was deaf."""
        if link.device is None or not link.active:
            return
        for key, item in list(link.device.pending.items()):
            if key not in link.delivered:
                self._send_pending(link, key, binary.decode(item.stanza, self.tokens))

    def remove_device(self, person: Person, device: Device) -> None:
        """Unlink a device from an account."""
        person.devices.pop(device.number, None)
        for other in self.world:
            other.signal.delete_sessions(person.lid_jid(device.number))
        self.world.touch(person)
        self.announce_devices(person, device.number)

    def announce_devices(self, person: Person, cause: int) -> None:
        """Notify the account's other devices and its watchers that its device list changed. cause: a device number."""
        for device in person.devices.values():
            if device.number == cause:
                continue
            addresses = [person.phone_jid(), *(person.phone_jid(number) for number in person.devices)]
            listed = Node("devices", {"dhash": "changed"}, [Node("device", {"jid": jid}) for jid in addresses])
            self.notify(person, device, "account_sync", person.phone_jid(), [listed])
        watchers, person.watchers = person.watchers, []
        for watcher in filter(None, map(self.world.get, watchers)):
            for device in watcher.devices.values():
                for address in (person.lid_jid(), person.phone_jid()):
                    self.notify(watcher, device, "devices", address, [Node("update", {"device_hash": "changed"})])

    def notify(
        self, person: Person, device: Device, kind: str, sender: Jid, content: list[Node], more: Attrs | None = None
    ) -> None:
        """Send a notification to a device; more: additional attributes."""
        attrs: Attrs = {"id": self.world.message_id(), "from": sender, "type": kind, "t": str(self.world.now())}
        self.deliver(person, device, Node("notification", attrs | (more or {}), content))

    def send_to_connected(self, person: Person, node: Node) -> None:
        """Send a stanza to the currently connected devices of an account; it is not stored for the others."""
        for link in self.links_of(person.phone):
            if link.active:
                link.send(node)

    def _send_pending(self, link: Link, key: str, node: Node) -> None:
        if link.device is None or not link.send(node):
            return
        link.delivered.add(key)
        item = link.device.pending[key]
        item.deliveries += 1
        if item.deliveries >= _MAX_DELIVERIES:
            logger.warning("%s did not confirm %s; discarded", link.label, key)
            del link.device.pending[key]


def pending_key(tag: str, node: Node) -> str:
    """The key that a delivered stanza and its confirmation share."""
    kind = "" if tag == "message" else node.get("type")
    return f"{tag} {node.get('id')} {kind}".rstrip()
