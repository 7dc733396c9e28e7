"""The wire formats and the cryptography of WhatsApp: pure functions and small state machines, no I/O."""
