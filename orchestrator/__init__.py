"""Runs a fleet of WhatsApp bots, one Docker container per approved bot, and gives operators a REST API."""

from bot_runtime.contract import VERSION

__version__ = VERSION
