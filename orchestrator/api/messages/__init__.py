"""Sending messages and following their delivery."""
