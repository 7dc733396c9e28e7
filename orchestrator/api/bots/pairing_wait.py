"""Waits until a bot can be paired, and says plainly when it cannot be.

Postgres tells whether it is worth asking (the bot is approved, wanted and not given up); the bot itself tells the rest,
because what the controller last saw of it is some seconds old. No database connection is held while waiting.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from bot_runtime.contract import ConnectionState
from orchestrator.api.context import Context
from orchestrator.api.runtime_errors import from_runtime_error
from orchestrator.clients.bot import RuntimeCallError, RuntimeClient, RuntimeUnreachable
from orchestrator.db import bots
from orchestrator.db.bots import BotRow
from orchestrator.db.models import Approval, Desired, Phase
from orchestrator.db.scope import Scope
from orchestrator.errors import BotdockError, Conflict, Unavailable

T = TypeVar("T")

POLL_SECONDS = 0.25
MAX_WAIT_SECONDS = 30.0
AFTER_RESET_SECONDS = 15.0
"""How long a new QR is waited for at least, after the last one had expired."""

_PAIRED = frozenset(
    {ConnectionState.ONLINE, ConnectionState.RECONNECTING, ConnectionState.DEAF, ConnectionState.RECONNECT_FAILED}
)
_GIVEN_UP = frozenset({Phase.SKIPPED, Phase.LOGGED_OUT, Phase.OUTDATED, Phase.BANNED, Phase.EXPIRED})


async def pair(
    context: Context, scope: Scope, bot_id: str, *, wait: float, ask: Callable[[RuntimeClient], Awaitable[T]]
) -> T:
    """What `ask` gets from the bot, once the bot waits for a phone; asked again for up to `wait` seconds.

    A bot whose QR code has expired is told to show a new one. Raises NotFound, Conflict (cannot be paired now: the
    message says what to do), Unavailable (the bot cannot be reached).
    """
    deadline = time.monotonic() + wait
    was_reset = False
    while True:
        async with context.database.session() as session:
            row = await bots.find(session, scope, bot_id)
        refuse(row)
        problem: BotdockError = Conflict(
            f"bot {bot_id!r} shows no code yet: it is {_how_it_is(row)}; " + _again(wait),
            code="not-pairing-yet",
        )
        if row.status.address is not None:
            async with context.runtime(row.bot, row.status.address) as runtime:
                try:
                    return await ask(runtime)
                except RuntimeUnreachable as exc:
                    problem = Unavailable(f"bot {bot_id!r} cannot be reached now: {exc}", code="bot-unreachable")
                except RuntimeCallError as exc:
                    if exc.status != 409:
                        raise from_runtime_error(exc, bot_id) from exc
                    try:
                        expired = await _why_not(runtime, bot_id)
                    except Conflict:
                        if _settled(row):
                            raise
                        expired = False
                    if expired and not was_reset:
                        await _reset(runtime, bot_id)
                        was_reset = True
                        deadline = max(deadline, time.monotonic() + AFTER_RESET_SECONDS)
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise problem
        await asyncio.sleep(min(POLL_SECONDS, remaining))


def _how_it_is(row: BotRow) -> str:
    status = row.status
    return f"{status.phase} ({status.message})" if status.message else status.phase


def _again(waited: float) -> str:
    return "ask again" if waited else f"ask again, or with ?wait={MAX_WAIT_SECONDS:g}"


def refuse(row: BotRow) -> None:
    """Raise Conflict for a bot that will show no code until a person does something."""
    bot, status = row
    here = f"/api/bots/{bot.id}"
    if bot.deleting:
        raise Conflict(f"bot {bot.id!r} is being deleted", code="deleting")
    if bot.approval_status != Approval.APPROVED:
        raise Conflict(
            f"bot {bot.id!r} is {bot.approval_status}: approve it first (POST {here}/approve)", code="not-approved"
        )
    if bot.desired_state == Desired.STOPPED:
        raise Conflict(f"bot {bot.id!r} is stopped: start it first (POST {here}/start)", code="stopped")
    if status.address is None and status.phase in _GIVEN_UP and _settled(row):
        way_out = f'{here}/restart {{"fresh": true}}' if status.phase == Phase.LOGGED_OUT else f"{here}/start"
        why = f" ({status.message})" if status.message else ""
        raise Conflict(f"bot {bot.id!r} is {status.phase}{why}: POST {way_out}", code=status.phase)


def refuse_connection(connection: ConnectionState, bot_id: str) -> None:
    """Raise Conflict for a connection that shows no code until a person does something."""
    here = f"/api/bots/{bot_id}"
    if connection in _PAIRED:
        raise Conflict(
            f"bot {bot_id!r} is paired already ({connection}); to pair another phone, log it out (POST {here}/logout) "
            f'and restart it (POST {here}/restart {{"fresh": true}})',
            code="already-paired",
        )
    match connection:
        case ConnectionState.LOGGED_OUT:
            raise Conflict(
                f'bot {bot_id!r} was logged out: pair it anew with POST {here}/restart {{"fresh": true}}',
                code="logged-out",
            )
        case ConnectionState.CONFLICT:
            raise Conflict(
                f"another client has taken the session of bot {bot_id!r} over: POST {here}/restart takes it back",
                code="conflict",
            )
        case ConnectionState.BANNED:
            raise Conflict(f"WhatsApp has banned the account of bot {bot_id!r}", code="banned")
        case ConnectionState.OUTDATED:
            raise Conflict(f"WhatsApp refuses the client version of bot {bot_id!r}: update its image", code="outdated")
        case _:
            return


def _settled(row: BotRow) -> bool:
    """Whether what is seen of the bot is what is wanted: not so while a start or a restart is under way."""
    bot, status = row
    return status.observed_generation == bot.generation and status.phase not in {Phase.STOPPING, Phase.STARTING}


async def _why_not(runtime: RuntimeClient, bot_id: str) -> bool:
    """Whether the code has expired; raises Conflict for what waiting does not mend."""
    try:
        health = await runtime.health()
    except (RuntimeUnreachable, RuntimeCallError):
        return False  # asked again in the next round
    refuse_connection(health.connection, bot_id)
    return health.connection is ConnectionState.PAIRING_EXPIRED


async def _reset(runtime: RuntimeClient, bot_id: str) -> None:
    try:
        await runtime.reset_connection()
    except (RuntimeUnreachable, RuntimeCallError) as exc:
        raise from_runtime_error(exc, bot_id) from exc
