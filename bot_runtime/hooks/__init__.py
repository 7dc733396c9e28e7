"""Automatic reactions to messages, each a handler (see `inbound/receiver.py`) that a setting switches on."""
