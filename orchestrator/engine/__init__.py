"""What runs containers: one protocol (`base`), the Docker engine behind it and one in memory."""
