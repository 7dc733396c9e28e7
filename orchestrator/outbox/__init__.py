"""Delivers messages from Postgres to WhatsApp: in order per chat, each at most once, across restarts and failures."""
