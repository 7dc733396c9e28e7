"""WhatsApp's wire formats and cryptography: pure functions and small state machines without I/O."""
