"""Assembles how a bot reacts to messages: the pipeline, the commands and the hooks."""

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from bot_runtime.commands.base import CommandError
from bot_runtime.commands.runner import CommandRunner
from bot_runtime.contract import EventType, Health, RuntimeConfig, Secrets
from bot_runtime.hooks.channels import ChannelReactions
from bot_runtime.hooks.chatgpt import LanguageModel
from bot_runtime.hooks.privacy import AntiDelete, AntiViewOnce
from bot_runtime.hooks.statuses import AutoView, Viewed
from bot_runtime.inbound.queues import ChatQueues
from bot_runtime.inbound.receiver import KeepMedia, Receiver
from bot_runtime.inbound.recent import Recent
from bot_runtime.inbound.replies import Replies, Reply
from bot_runtime.polls import Votes
from bot_runtime.storage.config import ConfigFile, differences, overlay
from bot_runtime.storage.spool import Spool
from bot_runtime.storage.sqlite import get_meta, set_meta
from bot_runtime.web.threads import WebThreads
from bot_runtime.whatsapp.gestures import Gestures
from bot_runtime.whatsapp.jid import Address
from bot_runtime.whatsapp.messages import Account, GroupChange, Incoming, WhatsAppError

log = logging.getLogger(__name__)

_WEB_THREADS = 8
_PAIRED_AT = "paired_at"


class Responder:
    """Everything that happens with arrivals. `receiver` records them; the other parts count what they did."""

    def __init__(
        self,
        *,
        bot_id: str,
        config: ConfigFile,
        store: sqlite3.Connection,
        spool: Spool,
        recent: Recent,
        gestures: Gestures,
        votes: Votes,
        reply: Reply,
        keep_media: KeepMedia,
        health: Callable[[], Health],
        account: Callable[[], Account | None],
        group_changed: Callable[[GroupChange], None],
    ) -> None:
        self._config = config
        self._store = store
        self._spool = spool
        self._gestures = gestures
        self._replies = Replies(reply, spool)
        self._account = account
        self._announced = False
        self.health = health
        kept = get_meta(store, _PAIRED_AT)
        self._since = datetime.fromtimestamp(float(kept), UTC) if kept else None
        self.model = LanguageModel(
            self._settings,
            self._replies.send,
            self._show_typing,
            self._is_mentioned,
            WebThreads(_WEB_THREADS),
            spool,
        )
        self.auto_view = AutoView(self._settings, gestures, Viewed(store))
        anti_delete = AntiDelete(self._settings, gestures, self._replies.send, self._own_number, recent.find)
        anti_view_once = AntiViewOnce(self._settings, gestures, self._replies.send, self._own_number)
        self.commands = CommandRunner(
            self,
            bot_id=bot_id,
            reply=self._replies.send,
            show_typing=self._show_typing,
            cached=lambda: len(self.receiver.seen),
            web=WebThreads(_WEB_THREADS),
        )
        self.receiver = Receiver(
            spool,
            recent,
            (
                self.commands,
                self.model,
                self.auto_view,
                anti_delete,
                anti_view_once,
                ChannelReactions(self._settings, gestures),
            ),
            group_changed=group_changed,
            details=lambda message: {**anti_delete.details(message), **votes.details(message)},
            keep_media=keep_media,
            keep_files=lambda: config.current.anti_delete,
            paired_at=lambda: self._since,
            queues=ChatQueues(held=True),
        )

    @property
    def settings(self) -> RuntimeConfig:
        """The current settings."""
        return self._config.current

    def change_settings(self, **values: Any) -> RuntimeConfig:
        """Apply, store and report new values. Raises `CommandError` for an invalid value."""
        before = msgspec.to_builtins(self._config.current)
        try:
            changed = self._config.change(**values)
        except msgspec.ValidationError as exc:
            raise CommandError(f"That is not possible: {exc}") from exc
        except OSError as exc:
            raise CommandError("The setting could not be stored: the volume is not writable.") from exc
        if changes := differences(before, msgspec.to_builtins(changed)):
            self._spool.append(EventType.SETTINGS_UPDATE, {"settings": changes})
        return changed

    def configure(self, config: RuntimeConfig) -> RuntimeConfig:
        """Apply a configuration from the orchestrator without undoing later changes by the owner.

        Raises `StaleConfigError`.
        """
        taken = config.taken_over
        if taken is not None:
            seq = taken.seq if taken.spool_id == self._spool.spool_id else 0
            own = self._spool.after(seq, EventType.SETTINGS_UPDATE)
            config = overlay(config, [event.data["settings"] for event in own])
        return self._config.replace(config)

    def use_secrets(self, secrets: Secrets) -> None:
        """Use these secrets from now on. They are never written to disk."""
        self.model.use_secrets(secrets)

    def paired(self) -> None:
        """A phone has just been paired: messages sent before are not for this bot."""
        self._since = datetime.now(UTC)
        try:
            set_meta(self._store, _PAIRED_AT, str(self._since.timestamp()))
        except sqlite3.OperationalError as exc:  # a full disk: old messages arrive only right after pairing
            log.warning("the time of the pairing could not be stored: %s", exc)

    def connected(self) -> None:
        """A new connection is online."""
        self._announced = False
        self._replies.connected()
        self.receiver.connected()

    async def announce(self) -> None:
        """Announce the account as available, once per connection. Called with every heartbeat."""
        if self._announced:
            return
        try:
            await asyncio.to_thread(self._gestures.announce)
        except WhatsAppError as exc:  # the name of the account arrives some time after pairing
            log.debug("the account is not announced yet: %s", exc)
            return
        self._announced = True

    def close(self) -> None:
        """Cancel the handlers."""
        self.receiver.close()

    def _settings(self) -> RuntimeConfig:
        return self._config.current

    def _own_number(self) -> str | None:
        account = self._account()
        return account.number if account else None

    def _is_mentioned(self, message: Incoming) -> bool:
        account = self._account()
        if account is None:
            return False
        own = {f"{account.number}@s.whatsapp.net", f"{account.lid}@lid"}
        quoted = message.content.details.get("quoted", {}).get("sender", "")
        return not own.isdisjoint((*message.content.mentions, quoted))

    async def _show_typing(self, chat: Address, on: bool) -> None:
        try:
            await asyncio.to_thread(self._gestures.show_typing, chat, on)
        except WhatsAppError as exc:
            log.info("typing could not be shown: %s", exc)
