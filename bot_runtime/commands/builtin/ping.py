"""`.ping`: check that the bot answers."""

from bot_runtime.commands.base import Command, Invocation


async def ping(_: Invocation) -> str:
    """`pong`."""
    return "pong"


COMMAND = Command(name="ping", summary="answers pong", run=ping)
