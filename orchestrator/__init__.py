"""Runs a fleet of WhatsApp bots, one Docker container per approved bot, and gives operators a REST API."""

__version__ = "0.1.0"
