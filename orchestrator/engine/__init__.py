"""What runs containers: one protocol, the Docker engine behind it and an in-memory one for fast tests."""
