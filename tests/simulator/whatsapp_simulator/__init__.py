"""A WhatsApp network on one machine: the server, the phones and the contacts, for real clients in tests and demos."""
