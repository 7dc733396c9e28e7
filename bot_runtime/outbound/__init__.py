"""Sending: recipients, rate limit, and the log by which each message is sent at most once."""
