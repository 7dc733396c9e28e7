"""Sending: recipients, rate limit, and the log that makes each send happen at most once."""
