"""Outgoing HTTP calls: webhooks of custom commands and the language model."""
