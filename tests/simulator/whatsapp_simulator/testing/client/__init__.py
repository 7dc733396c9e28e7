"""A typed client for the control API, with one file per resource."""

from whatsapp_simulator.testing.client.base import SimulatorError
from whatsapp_simulator.testing.client.simulator import SimulatorClient

__all__ = ["SimulatorClient", "SimulatorError"]
