"""Assembles one bot from its parts. What they do is in their own modules."""

import sqlite3
from collections.abc import Callable
from functools import partial

from bot_runtime.contract import ConnectionState, ExitCode, Health, Stats
from bot_runtime.credentials import Credentials
from bot_runtime.files.downloads import MediaDownloads
from bot_runtime.files.transfers import Transfers
from bot_runtime.files.uploads import UploadStore
from bot_runtime.groups import Groups
from bot_runtime.heartbeat import Heartbeat
from bot_runtime.inbound.arrivals import Arrivals
from bot_runtime.inbound.connection_listener import ConnectionListener
from bot_runtime.inbound.group_events import GroupEvents
from bot_runtime.inbound.recent import Recent
from bot_runtime.inbound.reported_groups import ReportedGroups
from bot_runtime.inbound.responder import Responder
from bot_runtime.inbound.settings_host import SettingsHost
from bot_runtime.lifecycle import Restart
from bot_runtime.logs import set_level
from bot_runtime.outbound.recipients import Recipients
from bot_runtime.outbound.send_log import SendLog
from bot_runtime.outbound.sender import Sender
from bot_runtime.polls import Polls, Votes
from bot_runtime.reports import BotIdentity, health_of
from bot_runtime.startup import OpenSession
from bot_runtime.storage.config import ConfigFile
from bot_runtime.storage.guard import StorageGuard
from bot_runtime.storage.spool import Spool
from bot_runtime.storage.volume import measure
from bot_runtime.whatsapp.connection import WhatsAppConnection
from bot_runtime.whatsapp.device import LinkedDevice
from bot_runtime.whatsapp.gestures import Gestures
from bot_runtime.whatsapp.sockets import OutgoingSockets
from bot_runtime.whatsapp.transport import LibraryTransport
from bot_runtime.whatsapp.votes import open_vote


class BotRuntime:
    """The parts of one bot, wired together. Everything runs on the event loop.

    `leave` ends the process with an exit code; `restart` restarts it in place.
    """

    def __init__(
        self,
        session: OpenSession,
        identity: BotIdentity,
        *,
        own_port: int,
        leave: Callable[[ExitCode], None],
        restart: Callable[[Restart], None],
    ) -> None:
        directory, store, core = session.directory, session.store, session.inbox.core
        self.identity = identity
        self._store: sqlite3.Connection = store
        self.config = ConfigFile(directory.config, session.environment.config)
        set_level(self.config.current.log_level)
        self.spool = Spool(store, failed=self._write_failed)
        self.host = SettingsHost(self.config, self.spool, health=self.health)
        self.credentials = Credentials(directory, store, self.spool, session.account)
        self.device = LinkedDevice(core)
        sockets = OutgoingSockets(own_port)
        transport, transfers = LibraryTransport(core, directory.database, sockets), Transfers(sockets)
        send_log, polls, recent = SendLog(store), Polls(store), Recent(store)
        self.uploads = UploadStore(directory.files)
        self.media = MediaDownloads(store, directory.files, transport, transfers)
        self.groups = Groups(transport)
        self.group_events = GroupEvents(
            self.groups,
            ReportedGroups(store, self.spool),
            own_addresses=self.credentials.own_addresses,
            online=lambda: self.connection.status.state is ConnectionState.ONLINE,
        )
        self.sender = Sender(
            send_log,
            self.uploads,
            transport,
            transfers,
            Recipients(own=self.credentials.own_address, recall=recent.text_of),
            polls,
            config=lambda: self.config.current,
        )
        self.responder = Responder(
            bot_id=identity.bot_id,
            host=self.host,
            store=store,
            spool=self.spool,
            recent=recent,
            gestures=Gestures(core),
            votes=Votes(polls, partial(open_vote, core)),
            reply=self.sender.reply,
            forward=self.sender.forward,
            keep_media=self.media.keep,
            account=lambda: self.credentials.account,
            group_changed=self.group_events.changed,
            group_seen=self.group_events.seen,
        )
        self._arrivals = Arrivals(
            session.inbox.journal, store, self.spool, self.responder.receiver, failed=self._write_failed
        )
        self.connection = WhatsAppConnection(
            session.inbox,
            session.dial,
            listener=ConnectionListener(
                self.spool,
                self.credentials,
                self.responder,
                self._arrivals,
                self.group_events,
                send_log,
                leave=leave,
                restart=restart,
            ),
            config=lambda: self.config.current,
            own_port=own_port,
            attempts=session.resume.restart.attempts if session.resume else 0,
        )
        self._storage_guard = StorageGuard(
            self.spool,
            session.inbox.journal,
            self.connection,
            held=session.held,
            take_in=self._arrivals.take_in,
            measure=lambda: measure(directory.path, self.config.current.volume_max_bytes),
        )
        self.heartbeat = Heartbeat(
            self.connection,
            self.config,
            self.credentials,
            announce=self.responder.presence.announce,
            busy=self._is_busy,
        )

    def start(self) -> None:
        """Attach to the connection, which was started before the event loop if there is room."""
        self.connection.attach()
        self._storage_guard.start()

    async def close(self, *, restarting: bool = False) -> None:
        """Disconnect and close the files. A restart in place does not count as the end of the connection."""
        self._storage_guard.close()
        self.responder.close()
        self.group_events.close()
        await self.connection.close(restarting=restarting)
        self._arrivals.close()
        self._store.close()

    def health(self) -> Health:
        """`GET /health`."""
        return health_of(
            self.identity,
            self.connection.snapshot(),
            account=self.credentials.account,
            creds_updated_at=self.credentials.updated_at(),
            last_heartbeat=self.heartbeat.last,
            events=self.spool.cursor(),
            event_history_size=len(self.spool.history),
            config_generation=self.config.current.generation,
        )

    def stats(self) -> Stats:
        """`GET /stats`."""
        receiver, commands = self.responder.receiver, self.responder.commands
        return Stats(
            bot_id=self.identity.bot_id,
            messages_received=receiver.received,
            messages_sent=self.sender.sent,
            send_failures=self.sender.failed,
            reconnects=self.connection.reconnects,
            messages_cached=len(receiver.seen),
            locks_held=len(commands.locks),
            commands_run=commands.ran,
            statuses_viewed=self.responder.auto_view.viewed,
            rate_window=self.sender.rate_window(),
        )

    def _write_failed(self, error: Exception) -> None:
        self._storage_guard.write_failed(error)

    def _is_busy(self) -> bool:
        """Whether a new connection would interrupt something."""
        return self.sender.busy or self.media.busy or self.responder.receiver.busy
