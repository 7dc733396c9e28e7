"""What arrives from WhatsApp: recorded exactly once, then handled, in order within a chat."""
