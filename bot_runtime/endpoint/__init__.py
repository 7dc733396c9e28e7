"""The HTTP endpoint of a bot container: server, routes, and what the calls do."""
