"""Talks to the HTTP endpoint inside the bot containers."""
