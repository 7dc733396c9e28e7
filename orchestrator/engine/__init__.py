"""Container engines: one protocol (`base`), implemented with Docker and in memory."""
