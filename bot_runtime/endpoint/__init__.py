"""The HTTP endpoint of a bot container."""
