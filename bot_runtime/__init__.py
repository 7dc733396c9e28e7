"""The process in every bot container: one WhatsApp account, spoken through neonize, behind a small HTTP endpoint."""

__version__ = "0.1.0"
