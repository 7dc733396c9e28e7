"""A simulated WhatsApp network (server, phones and contacts) for tests and demos with real clients."""
