"""Helpers for tests: a simulator process, a client for its control API, and a plain neonize bot."""

from whatsapp_simulator.testing.bot import BotError, BotProcess
from whatsapp_simulator.testing.client import SimulatorClient, SimulatorError
from whatsapp_simulator.testing.library import client_environment, patched_neonize
from whatsapp_simulator.testing.process import SimulatorProcess

__all__ = [
    "BotError",
    "BotProcess",
    "SimulatorClient",
    "SimulatorError",
    "SimulatorProcess",
    "client_environment",
    "patched_neonize",
]
