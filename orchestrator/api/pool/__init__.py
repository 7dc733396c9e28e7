"""The session pool: bots as WhatsApp sessions, one per company."""
