"""Sending messages and tracking their delivery."""
