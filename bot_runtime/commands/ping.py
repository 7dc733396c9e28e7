"""`.ping`: is the bot there?"""

from bot_runtime.whatsapp.wire import Incoming


def ping(_: Incoming) -> str:
    """`pong`."""
    return "pong"
