"""Stores pages of events, also if Postgres refuses one of them: it must not hold up those after it."""

import logging

import msgspec

from bot_runtime.contract import Event, EventPage, EventType
from orchestrator.db.models import Bot
from orchestrator.db.session import is_refusal
from orchestrator.reconcile.status_store import StatusStore

log = logging.getLogger(__name__)


async def ingest(store: StatusStore, bot: Bot, page: EventPage) -> str:
    """Store a page of a bot's events; what was refused, empty if nothing was.

    Nothing should be, after `clients/bot_answers.py`. Raises what SQLAlchemy raises when Postgres is unavailable.
    """
    try:
        await store.ingest(bot, page)
    except Exception as exc:
        if not is_refusal(exc):
            raise
        log.warning("bot %s: storing its events one by one: %s", bot.id, type(exc).__name__)
    else:
        return ""
    refused = ""
    for event in page.items:
        refused = await _ingest_one(store, bot, page.spool_id, event) or refused
    await store.ingest(bot, EventPage(spool_id=page.spool_id, items=[], next=page.next))
    return refused


async def _ingest_one(store: StatusStore, bot: Bot, spool_id: str, event: Event) -> str:
    try:
        await store.ingest(bot, EventPage(spool_id=spool_id, items=[event], next=event.seq))
    except Exception as exc:
        if not is_refusal(exc):
            raise
    else:
        return ""
    flaw = "Postgres refused it"
    data = {"type": event.type, "message": flaw}
    event = msgspec.structs.replace(event, type=EventType.PROTOCOL_VIOLATION, data=data)
    await store.ingest(bot, EventPage(spool_id=spool_id, items=[event], next=event.seq))
    return f"event {event.seq} ({data['type']}): {flaw}"
