"""The complete simulator: network, proxy and state file, used by the control API and the command line."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from whatsapp_simulator import keys
from whatsapp_simulator.network import Network
from whatsapp_simulator.pairing import Pairing
from whatsapp_simulator.server.chat import ChatServer, apply_to_open_link
from whatsapp_simulator.server.media import MediaHost
from whatsapp_simulator.server.proxy import Proxy
from whatsapp_simulator.tokens import Tokens
from whatsapp_simulator.world.channels import Channels
from whatsapp_simulator.world.failures import Failure, FailureKind, FailureRegistry
from whatsapp_simulator.world.files import Files
from whatsapp_simulator.world.groups import Groups
from whatsapp_simulator.world.store import Store
from whatsapp_simulator.world.world import World

_SAVE_SECONDS = 1.0


class Simulator:
    """A running simulator; call `start` and `stop` in the same event loop."""

    def __init__(self, tokens: Tokens, state_file: Path | None = None) -> None:
        self._store = Store(state_file) if state_file else None
        failures = FailureRegistry(time.time)
        self.world = _load(self._store) if self._store else World(random=os.urandom, clock=time.time)
        self.network = Network(self.world, tokens, failures)
        self.pairing = Pairing(self.network)
        chat = ChatServer(self.network, self.pairing, keys.noise_identity(os.urandom))
        media = MediaHost(self.world.files, self.network.media_host, self.network.media_auth)
        self._proxy = Proxy(chat, media, keys.tls_context(), failures)
        self._saving: asyncio.Task[None] | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen for clients; returns the port of the proxy."""
        bound = await self._proxy.start(host, port)
        if self._store is not None:
            self._saving = asyncio.create_task(self._save_periodically(self._store))
        return bound

    async def stop(self) -> None:
        """Disconnect all clients and write the state file."""
        await self._proxy.stop()
        for link in self.network.links_of(None):
            link.abort()
        if self._saving is not None:
            self._saving.cancel()
        if self._store is not None:
            self._save(self._store)
            self._store.close()

    def inject_failure(
        self, phone: str | None, kind: FailureKind, *, seconds: float | None, count: int | None, delay_seconds: float
    ) -> Failure | None:
        """Activate a failure for an account or for all clients (None), and apply it to open connections."""
        failures, network = self.network.failures, self.network
        before = failures.get(phone)
        failure = failures.set(phone, kind, seconds=seconds, count=count, delay_seconds=delay_seconds)
        links = network.links_of(phone)
        for link in links:
            apply_to_open_link(link, failure)
        if links and failure.remaining_connections is not None and kind in (FailureKind.DROP, FailureKind.REPLACED):
            failure.remaining_connections -= 1
        if kind is FailureKind.LOGGED_OUT:
            self._remove_devices(phone)
            failures.clear(phone)
        if before is not None:
            self._flush(phone)
        return failures.get(phone)

    def clear_failure(self, phone: str | None) -> None:
        """Clear the failure of an account, or the one for all clients (None)."""
        self.network.failures.clear(phone)
        self._flush(phone)

    def _flush(self, phone: str | None) -> None:
        for link in self.network.links_of(phone):
            self.network.flush(link)

    def _remove_devices(self, phone: str | None) -> None:
        for person in self.network.world:
            if phone in (None, person.phone):
                for device in list(person.devices.values()):
                    self.network.remove_device(person, device)

    async def _save_periodically(self, store: Store) -> None:
        while True:
            await asyncio.sleep(_SAVE_SECONDS)
            self._save(store)

    def _save(self, store: Store) -> None:
        world = self.world
        store.save(
            world.take_touched(),
            world.groups.take_touched(),
            world.channels.take_touched(),
            world.files.take_touched(),
        )


def _load(store: Store) -> World:
    return World(
        random=os.urandom,
        clock=time.time,
        people=store.load(),
        groups=Groups(store.load_groups()),
        channels=Channels(store.load_channels()),
        files=Files(store.load_files()),
    )
