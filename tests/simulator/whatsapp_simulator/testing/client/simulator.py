"""The whole client."""

from __future__ import annotations

from whatsapp_simulator.testing.client.accounts import Accounts
from whatsapp_simulator.testing.client.calls import Calls
from whatsapp_simulator.testing.client.channels import Channels
from whatsapp_simulator.testing.client.contacts import Contacts
from whatsapp_simulator.testing.client.groups import Groups
from whatsapp_simulator.testing.client.messages import Messages


class SimulatorClient(Accounts, Contacts, Messages, Groups, Channels, Calls):
    """Plays the phones of a simulator at `url`. Deadlines are in seconds; missing one is a TimeoutError."""
