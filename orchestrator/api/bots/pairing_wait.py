"""Waits until a bot can be paired, and reports why if it cannot.

Postgres decides whether to ask the bot at all (it is approved, desired to run and not in a terminal phase). The rest
comes from the bot itself, because the status in Postgres is some seconds old. No database connection is held while
waiting.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from bot_runtime.contract import ConnectionState
from orchestrator.api import turns
from orchestrator.api.bots.active import require_active
from orchestrator.api.context import Context
from orchestrator.api.runtime_errors import from_runtime_error
from orchestrator.clients.bot import RuntimeClient
from orchestrator.clients.bot_errors import ProtocolViolationError, RuntimeCallError, RuntimeUnreachableError
from orchestrator.db import bots
from orchestrator.db.bots import BotRow
from orchestrator.db.scope import Scope
from orchestrator.errors import BotdockError, ConflictError, UnavailableError
from orchestrator.states import Phase

T = TypeVar("T")

POLL_SECONDS = 0.25
MAX_WAIT_SECONDS = 30.0
AFTER_RESET_SECONDS = 15.0
"""Minimum time to wait for a new QR code after the last one has expired."""

_PAIRED = frozenset(
    {ConnectionState.ONLINE, ConnectionState.RECONNECTING, ConnectionState.DEAF, ConnectionState.RECONNECT_FAILED}
)
_TERMINAL = frozenset({Phase.SKIPPED, Phase.LOGGED_OUT, Phase.OUTDATED, Phase.BANNED, Phase.EXPIRED})


async def pair(
    context: Context, scope: Scope, bot_id: str, *, wait: float, ask: Callable[[RuntimeClient], Awaitable[T]]
) -> T:
    """The result of `ask` once the bot is ready to be paired; retried for up to `wait` seconds.

    A bot whose QR codes have expired is asked for new ones. Raises NotFoundError, ConflictError (it cannot be paired
    now: the message states what to do), UnavailableError (the bot is unreachable).
    """
    deadline = time.monotonic() + wait
    was_reset = False
    while True:
        async with context.database.session() as session:
            row = await bots.find(session, scope, bot_id)
        scope = scope.narrowed(row.bot.server_name)  # a bot of another server must not take its place
        refuse(row)
        problem: BotdockError = ConflictError(
            f"bot {bot_id!r} has no code yet: it is {_state(row)}; " + _retry_hint(wait),
            code="not-pairing-yet",
        )
        if row.status.address is not None:
            async with context.runtime(row.bot, row.status.address) as runtime:
                try:
                    return await ask(runtime)
                except ProtocolViolationError as exc:
                    raise from_runtime_error(exc, bot_id) from exc
                except RuntimeUnreachableError as exc:
                    problem = UnavailableError(f"bot {bot_id!r} is unreachable: {exc}", code="bot-unreachable")
                except RuntimeCallError as exc:
                    if exc.status != 409:
                        raise from_runtime_error(exc, bot_id) from exc
                    try:
                        expired = await _why_not(runtime, bot_id)
                    except ConflictError:
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
        turns.leave()
        await asyncio.sleep(min(POLL_SECONDS, remaining))
        await turns.retake()


def _state(row: BotRow) -> str:
    status = row.status
    return f"{status.phase} ({status.message})" if status.message else status.phase


def _retry_hint(waited: float) -> str:
    return "retry" if waited else f"retry, or send ?wait={MAX_WAIT_SECONDS:g}"


def refuse(row: BotRow) -> None:
    """Raise ConflictError for a bot that gets no code until a person acts."""
    bot, status = row
    require_active(bot)
    here = f"/api/bots/{bot.id}"
    if status.address is None and status.phase in _TERMINAL and _settled(row):
        remedy = f'{here}/restart {{"fresh": true}}' if status.phase == Phase.LOGGED_OUT else f"{here}/start"
        why = f" ({status.message})" if status.message else ""
        raise ConflictError(f"bot {bot.id!r} is {status.phase}{why}: POST {remedy}", code=status.phase)


def refuse_connection(connection: str, bot_id: str) -> None:
    """Raise ConflictError for a connection that gets no code until a person acts."""
    here = f"/api/bots/{bot_id}"
    if connection in _PAIRED:
        raise ConflictError(
            f"bot {bot_id!r} is already paired ({connection}); to pair another phone, log it out (POST {here}/logout) "
            f'and restart it (POST {here}/restart {{"fresh": true}})',
            code="already-paired",
        )
    match connection:
        case ConnectionState.LOGGED_OUT:
            raise ConflictError(
                f'bot {bot_id!r} is logged out: to pair it again, POST {here}/restart {{"fresh": true}}',
                code="logged-out",
            )
        case ConnectionState.CONFLICT:
            raise ConflictError(
                f"another client uses the session of bot {bot_id!r}: to take it back, POST {here}/restart",
                code="conflict",
            )
        case ConnectionState.BANNED:
            raise ConflictError(f"WhatsApp banned the account of bot {bot_id!r}", code="banned")
        case ConnectionState.OUTDATED:
            raise ConflictError(
                f"WhatsApp rejects the client version of bot {bot_id!r}: update its image", code="outdated"
            )
        case _:
            return


def _settled(row: BotRow) -> bool:
    """Whether the observed state is that of the current spec: not so during a start or restart."""
    bot, status = row
    return status.observed_generation == bot.generation and status.phase not in {Phase.STOPPING, Phase.STARTING}


async def _why_not(runtime: RuntimeClient, bot_id: str) -> bool:
    """Whether the QR codes have expired; raises ConflictError for what waiting does not fix."""
    try:
        health = await runtime.health()
    except (RuntimeUnreachableError, RuntimeCallError):
        return False  # retried in the next iteration
    refuse_connection(health.connection, bot_id)
    return health.connection == ConnectionState.PAIRING_EXPIRED


async def _reset(runtime: RuntimeClient, bot_id: str) -> None:
    try:
        await runtime.reset_connection()
    except (RuntimeUnreachableError, RuntimeCallError) as exc:
        raise from_runtime_error(exc, bot_id) from exc
