"""Random faults under traffic, followed by a check of every message."""
