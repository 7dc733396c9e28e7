"""The Docker engine, through docker-py's low-level client."""
