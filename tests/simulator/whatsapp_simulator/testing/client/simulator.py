"""The complete client."""

from __future__ import annotations

from whatsapp_simulator.testing.client.accounts import AccountsClient
from whatsapp_simulator.testing.client.calls import CallsClient
from whatsapp_simulator.testing.client.channels import ChannelsClient
from whatsapp_simulator.testing.client.contacts import ContactsClient
from whatsapp_simulator.testing.client.groups import GroupsClient
from whatsapp_simulator.testing.client.messages import MessagesClient


class SimulatorClient(AccountsClient, ContactsClient, MessagesClient, GroupsClient, ChannelsClient, CallsClient):
    """Controls the phones of the simulator at `url`. Methods with `timeout_seconds` raise TimeoutError."""
