"""The baseline of a bot: neonize as its own examples use it, with its ordinary imports. Runs inside the bot image.

The argument is the session's database.
"""

import sys

from neonize.client import NewClient
from neonize.events import ConnectedEv, MessageEv

client = NewClient(sys.argv[1], uuid="plain")


@client.event(ConnectedEv)  # type: ignore[untyped-decorator]  # neonize carries no types
def on_connected(_client: NewClient, _event: ConnectedEv) -> None:
    """Report the connection."""
    print("connected", flush=True)


@client.event(MessageEv)  # type: ignore[untyped-decorator]
def on_message(_client: NewClient, _event: MessageEv) -> None:
    """Subscribe to messages, as every bot does."""


client.connect()
