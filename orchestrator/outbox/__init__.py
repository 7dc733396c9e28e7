"""Brings messages from Postgres to WhatsApp: in order per chat, each once, through whatever happens in between."""
