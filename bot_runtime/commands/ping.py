"""`.ping`: is the bot there?"""

from bot_runtime.whatsapp.messages import Incoming


def ping(_: Incoming) -> str:
    """`pong`."""
    return "pong"
